"""Plots of what was measured besides the task's metrics: corruption, foreign images, drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from sftbench.pages.blocks import Cell, Column, DataTable, Figure, Row
from sftbench.pages.plots import WIDTH, drawing, finished, label, short_labels, style
from sftbench.records import Record
from sftbench.report.html.axes import (
    MAX_BARS,
    MAX_SERIES,
    Looks,
    left,
    legend,
    legend_names,
    names,
    told,
)
from sftbench.report.html.reliability_series import (
    SCORE,
    Spread,
    beside,
    by_severity,
    corrupted,
    corruptions,
    drift,
    foreign,
)
from sftbench.report.html.source import RowView, SectionView

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")
_MAX_COLUMNS = 12
_MOST_NAMED = 25
_SPREAD = ("mean", "lowest_seed", "highest_seed", "seeds")


def reliability_figures(view: SectionView, looks: Looks) -> tuple[Figure, ...]:
    """Return a plot of each kind that the records have numbers for."""
    found = (_corruption(view, looks), _foreign(view), _drift(view, looks))
    return tuple(one for one in found if one is not None)


def reliability_table(view: SectionView) -> DataTable | None:
    """Return means over seeds of everything beside the task's metrics; None without any."""
    found = [(one, beside(_records(one))) for one in view.rows]
    headings = list(dict.fromkeys(name for _, values in found for name in values))
    if not headings:
        return None
    shown = headings[:_MAX_COLUMNS]
    more = f" {len(headings) - len(shown)} more are in the records." if headings != shown else ""
    columns = [Column(heading=label(one, 60), is_number=True) for one in shown]
    return DataTable(
        id=f"measured-{view.key}",
        caption=f"Measured besides: mean over seeds.{more}",
        columns=(Column(heading="strategy"), *columns),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=one.row.label, href=f"#{one.id}"),
                    *(_number(values.get(name)) for name in shown),
                )
            )
            for one, values in found
        ),
    )


def _number(value: Spread | None) -> Cell:
    return Cell(text="-") if value is None else Cell(text=f"{value.mean:.4g}", value=value.mean)


def _corruption(view: SectionView, looks: Looks) -> Figure | None:
    found = _having(view, by_severity)
    if not found:
        return None
    with drawing() as axes:
        _bands(axes, [(one, dict(enumerate(points))) for one, points in found], looks)
        axes.set_xticks(range(max(len(points) for _, points in found)))
        axes.set_xlabel("severity (0: clean)")
        axes.set_ylabel("accuracy, mean over corruptions")
        plot = finished(
            axes,
            name=f"corruption-{view.key}",
            alt="Accuracy on clean and on the most corrupted images: "
            + told((o.row.label, f"{p[0].mean:.3f} to {p[-1].mean:.3f}") for o, p in found),
            columns=("strategy", "corruption", "severity", *_SPREAD),
            rows=[
                (one.row.label, kind, severity, *_fields(value))
                for one, _ in found
                for kind, severity in corruptions(_records(one))
                if (value := corrupted(_records(one), kind, severity)) is not None
            ],
        )
    return Figure(
        plot=plot,
        caption="Accuracy by severity of corruption: mean over kinds and seeds, band from the "
        f"lowest to the highest seed.{left(len(found) - MAX_SERIES)}",
    )


def _foreign(view: SectionView) -> Figure | None:
    found = _having(view, foreign)
    if not found:
        return None
    datasets = sorted({name for _, values in found for name in values})
    shown = found[:MAX_BARS]
    texts = legend_names(datasets[:MAX_SERIES])
    with drawing(WIDTH, 0.95 + 0.17 * len(texts) + 0.26 * len(shown)) as axes:
        for number, name in enumerate(datasets[:MAX_SERIES]):
            look = {**style(number), "linestyle": "none"}
            places = [(at, values[name]) for at, (_, values) in enumerate(shown) if name in values]
            for at, value in places:
                axes.hlines(at, value.low, value.high, color=look["color"], linewidth=1.5)
            means = [value.mean for _, value in places]
            axes.plot(means, [at for at, _ in places], label=texts[name], **look)
        names(axes, [one.row.label for one, _ in shown])
        axes.set_xlabel("AUROC of the target's test images (0.5: chance)")
        legend(axes)
        plot = finished(
            axes,
            name=f"foreign-{view.key}",
            alt="AUROC by which images of other data sets are told apart: "
            + told(
                (one.row.label, ", ".join(f"{name} {v.mean:.3f}" for name, v in values.items()))
                for one, values in found
            ),
            columns=("strategy", "foreign_dataset", "score", *_SPREAD),
            rows=[
                (one.row.label, name, SCORE, *_fields(value))
                for one, values in found
                for name, value in values.items()
            ],
        )
    hidden = len(datasets) - MAX_SERIES
    more = f" In the data only: {hidden} data sets." if hidden > 0 else ""
    return Figure(
        plot=plot,
        caption="How well images of another data set are told apart by the highest probability: "
        f"mean over seeds, line from the lowest to the highest.{left(len(found) - len(shown))}"
        f"{more}",
    )


def _drift(view: SectionView, looks: Looks) -> Figure | None:
    found = _having(view, drift)
    if not found:
        return None
    order = list(dict.fromkeys(name for _, blocks in found for name in blocks))
    with drawing() as axes:
        _bands(
            axes,
            [(one, {order.index(name): v for name, v in blocks.items()}) for one, blocks in found],
            looks,
        )
        axes.set_ylim(-0.03, 1.03)
        step = 1 + len(order) // _MOST_NAMED
        axes.set_xticks(range(0, len(order), step), short_labels(order[::step], 12))
        axes.tick_params(axis="x", rotation=60)
        axes.set_ylabel("CKA to before training")
        plot = finished(
            axes,
            name=f"drift-{view.key}",
            alt="Likeness of the last block's output to what it was before training (CKA): "
            + told((o.row.label, f"{[*blocks.values()][-1].mean:.3f}") for o, blocks in found),
            columns=("strategy", "block", *_SPREAD),
            rows=[
                (one.row.label, name, *_fields(value))
                for one, blocks in found
                for name, value in blocks.items()
            ],
        )
    return Figure(
        plot=plot,
        caption="Likeness (CKA) of each block's output to what it was before training, 1 is the "
        f"same: mean and range over seeds.{left(len(found) - MAX_SERIES)}",
    )


def _records(one: RowView) -> list[Record]:
    return list(one.group.completed.values())


def _having(view: SectionView, read: Callable[[list[Record]], T]) -> list[tuple[RowView, T]]:
    """Return the rows for which something was measured, with it."""
    return [(one, values) for one in view.rows if (values := read(_records(one)))]


def _bands(axes: Axes, lines: Sequence[tuple[RowView, Mapping[int, Spread]]], looks: Looks) -> None:
    texts = legend_names(one.row.label for one, _ in lines[:MAX_SERIES])
    for one, points in lines[:MAX_SERIES]:
        look = style(looks[one.row.label])
        at, values = list(points), list(points.values())
        low, high = [value.low for value in values], [value.high for value in values]
        axes.fill_between(at, low, high, color=look["color"], alpha=0.16, linewidth=0)
        means = [value.mean for value in values]
        axes.plot(at, means, label=texts[one.row.label], **look)
    legend(axes)


def _fields(value: Spread) -> tuple[float, float, float, int]:
    return (value.mean, value.low, value.high, value.num_seeds)
