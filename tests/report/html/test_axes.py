from __future__ import annotations

import pytest

from sftbench.pages.plots import drawing
from sftbench.report.html.axes import legend, legend_names, names

LONG = ("head-only+class-balanced", "head-only+class-balanced-sampling", "head-only+class-weights")


def test_names_that_begin_alike_stay_apart() -> None:
    with drawing() as axes:
        names(axes, LONG)
        found = [one.get_text() for one in axes.get_yticklabels()]
    assert len(set(found)) == 3
    assert max(map(len, found)) <= 28
    assert list(legend_names(LONG).values()) == found


@pytest.mark.parametrize(
    "entries",
    [
        ("setup", "training", "data and frozen features", "evaluation", "other"),
        tuple(f"{'a' * 30}{number}{'c' * 30}" for number in range(8)),
    ],
)
@pytest.mark.parametrize("places", [("full", "lp-ft"), LONG])
def test_a_legend_is_no_wider_than_the_plot(
    entries: tuple[str, ...], places: tuple[str, ...]
) -> None:
    with drawing() as axes:
        texts = legend_names(entries)
        for entry in entries:
            axes.plot([0, 1], [0, 1], label=texts[entry])
        names(axes, places)
        legend(axes, columns=3)
        axes.figure.canvas.draw()
        found = axes.get_legend()
        assert found is not None
        assert found.get_window_extent().x1 <= axes.figure.bbox.x1
