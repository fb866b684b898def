"""What the report's plots have in common: names, scales, legends, and words about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from sftbench.pages.plots import short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 8  # more lines than that cannot be told apart
MAX_BARS = 20
_TOLD = 12
_NAME_CHARACTERS = 28
_LETTER_POINTS = 4.3  # of names and legends, on average
_HANDLE_POINTS = 30.0  # what stands beside a name in a legend
_TICK_POINTS = 10.0
_DECADE_AND_MORE = 12.0

Looks = Mapping[str, int]


def names(axes: Axes, labels: Sequence[str]) -> None:
    """Name the places of a horizontal plot, the first on top."""
    axes.set_yticks(range(len(labels)), short_labels(labels, _NAME_CHARACTERS))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def legend_names(labels: Iterable[str]) -> dict[str, str]:
    """Return what a legend calls each of what it has together."""
    every = list(labels)
    return dict(zip(every, short_labels(every, _NAME_CHARACTERS), strict=True))


def scale(axes: Axes, values: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic where positive values are far apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not values or max(values) < _DECADE_AND_MORE * min(values):
        return
    axes.set_xscale("log")
    is_wide = max(values) > 1000 * min(values)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if is_wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend(axes: Axes, columns: int = 2) -> None:
    """Put the legend above the plot, where no line runs.

    Args:
        axes: Whose series and names of places are there already.
        columns: At most; fewer where names are too long for the plot's width.
    """
    handles, texts = axes.get_legend_handles_labels()
    places = max((len(one.get_text()) for one in axes.get_yticklabels()), default=0)
    inches = axes.figure.get_figwidth()  # type: ignore[union-attr]
    room = 72 * inches - _LETTER_POINTS * places - _TICK_POINTS
    axes.legend(
        handles,
        texts,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=_columns([len(text) for text in texts], columns, room),
        handlelength=1.8,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def _columns(lengths: Sequence[int], most: int, room: float) -> int:
    """Return how many columns a legend of names so long has room for, in points."""
    for columns in range(most, 1, -1):
        longest = [max(part, default=0) for part in np.array_split(lengths, columns)]
        if sum(_HANDLE_POINTS + _LETTER_POINTS * each for each in longest) <= room:
            return columns
    return 1


def told(pairs: Iterable[tuple[str, str]]) -> str:
    """Return `full 0.8; lp-ft 0.7` of the first few, for who does not see the plot."""
    each = [f"{name} {text}" for name, text in islice(pairs, _TOLD + 1)]
    more = "; and more, see the data" if len(each) > _TOLD else ""
    return f"{'; '.join(each[:_TOLD])}{more}."


def left(count: int) -> str:
    """Say how many strategies are not drawn; empty where all are."""
    return f" In the data only: {count} that rank lower." if count > 0 else ""


def unnamed(count: int) -> str:
    """Say how many points have no name."""
    return f" Grey: {count} more, whose names the data has." if count > 0 else ""


def absent(count: int) -> str:
    """Say how many rows have no mean."""
    return f" Not drawn: {count} without a mean." if count > 0 else ""
