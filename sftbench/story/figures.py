"""The plots of a story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sftbench.names import one_line
from sftbench.pages.blocks import Figure
from sftbench.pages.plots import HEAT, INK, MUTED, SERIES, drawing, finished, label
from sftbench.story import words
from sftbench.story.calibration import Calibrated, Calibration
from sftbench.story.confusion import Confusion
from sftbench.story.curves import Curve
from sftbench.story.tell import Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 30
_SQUARE = 3.6
_MOST_DRAWN = 12


def curve_figures(story: Story) -> tuple[Figure, ...]:
    """Return plots of losses, the metric on validation, and the rate: a line for each seed."""
    metric = one_line(story.metric.name, 60) if story.metric else "metric"
    wanted = (
        ("losses", "loss", ("train_loss", "val_loss")),
        ("validation", f"{metric} on validation", ("val_metric",)),
        ("rate", "highest learning rate", ("rate",)),
    )
    found = []
    for name, title, series in wanted:
        if any(one.series(each) for one in story.curves for each in series):
            found.append(_curves(story, name, title, series))
    return tuple(found)


def _curves(story: Story, name: str, title: str, series: Sequence[str]) -> Figure:
    curve, whose = words.told_curve(story)
    drawn = story.curves[:_MOST_DRAWN]
    with drawing() as axes:
        for place, each in enumerate(series):
            for one in drawn:
                values = one.series(each)
                is_alone = len(drawn) == 1
                axes.plot(
                    [epoch for epoch, _ in values],
                    [value for _, value in values],
                    color=SERIES[place],
                    linewidth=1.6 if is_alone else 0.7,
                    alpha=1.0 if is_alone else 0.45,
                    marker="o" if is_alone else None,
                )
            if curve is not None and len(drawn) > 1 and (mean := curve.series(each)):
                axes.plot(*zip(*mean, strict=True), color=SERIES[place], marker="o")
            axes.plot([], [], color=SERIES[place], label=words.SERIES[each])
        for _, begin in (curve.stages if curve is not None else ())[1:]:
            axes.axvline(begin, color=MUTED, linewidth=1, linestyle=":")
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        if len(series) > 1:
            axes.legend()
        told = "" if curve is None else _told(curve, series)
        plot = finished(
            axes,
            name=f"curve-{name}",
            alt=f"{title} by epoch, {whose}. {told}.",
            columns=("seed", "stage", "epoch", *series),
            rows=[
                (one.seed, point.stage, point.epoch, *(getattr(point, each) for each in series))
                for one in story.curves
                for point in one.points
            ],
        )
    return Figure(plot=plot, caption=f"{_begun(title)}: {told} ({whose}).")


def _told(curve: Curve, series: Sequence[str]) -> str:
    """Return in words how the series went, by name where there is more than one."""
    names = [f"{words.SERIES[one]} " if len(series) > 1 else "" for one in series]
    texts = [words.curve_text(curve, one) for one in series]
    return "; ".join(f"{name}{text}" for name, text in zip(names, texts, strict=True))


def confusion_figure(found: Confusion) -> Figure | None:
    """Return the matrix with the share of each class; None for more classes than can be read."""
    if not 2 <= len(found.labels) <= MOST_CLASSES:
        return None
    support = np.maximum(found.counts.sum(axis=1, keepdims=True), 1)
    shares = found.counts / support
    size = max(_SQUARE, 1.2 + 0.3 * len(found.labels))
    with drawing(size, size) as axes:
        _matrix(axes, shares)
        texts = [label(one, 24) for one in found.labels]
        axes.set_xticks(range(len(texts)), texts, rotation=90)
        axes.set_yticks(range(len(texts)), texts)
        axes.set_xlabel("taken for")
        axes.set_ylabel("class")
        worst = "; ".join(
            f"{one_line(one.truth, 40)} taken for {one_line(one.predicted, 40)} "
            f"{one.count} times ({100 * one.share:.0f} % of the class)"
            for one in found.pairs(5)
        )
        plot = finished(
            axes,
            name="confusion",
            alt=f"Confusion matrix of {len(found.labels)} classes. Most often: {worst or 'none'}.",
            columns=("class", "taken_for", "count"),
            rows=[
                (found.labels[row], found.labels[column], int(count))
                for (row, column), count in np.ndenumerate(found.counts)
            ],
        )
    return Figure(
        plot=plot,
        caption="Percent of the test examples of each class (row) by the class that they were "
        f"taken for (column), over {found.num_seeds} seeds.",
    )


def _matrix(axes: Axes, shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    from matplotlib.patches import Rectangle

    for (row, column), share in np.ndenumerate(shares):
        if share < 0.005:
            continue
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=HEAT, alpha=float(share))
        axes.add_patch(box)
        text = f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=INK)
    axes.set_xlim(-0.5, len(shares) - 0.5)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.tick_params(length=0, labelsize=7)


def reliability_figures(found: Calibration) -> tuple[Figure, ...]:
    """Return the reliability diagram before temperature scaling, and the one after."""
    figures = [_reliability(found.before, "before", "as the outputs are")]
    if found.after is not None:
        figures.append(_reliability(found.after, "after", "after temperature scaling"))
    return tuple(figures)


def _reliability(found: Calibrated, name: str, title: str) -> Figure:
    total = sum(one.count for one in found.bins)
    with drawing(_SQUARE, _SQUARE) as axes:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        for one in found.bins:
            if one.confidence is None or one.accuracy is None:
                continue
            wide = one.high - one.low
            axes.bar(one.low, one.accuracy, wide, align="edge", color=SERIES[0], alpha=0.35)
            axes.vlines(one.confidence, one.accuracy, one.confidence, color=SERIES[1])
            size = 10 + 160 * one.count / total
            axes.scatter([one.confidence], [one.accuracy], s=size, color=SERIES[0], zorder=3)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        points = "; ".join(
            f"{one.accuracy:.2f} at {one.confidence:.2f}"
            for one in found.bins
            if one.accuracy is not None and one.confidence is not None
        )
        plot = finished(
            axes,
            name=f"reliability-{name}",
            alt=f"Reliability diagram {title}: accuracy by confidence: {points}. "
            f"ECE {found.ece:.3f}.",
            columns=("low", "high", "examples", "confidence", "accuracy"),
            rows=[
                (one.low, one.high, one.count, one.confidence, one.accuracy) for one in found.bins
            ],
        )
    return Figure(
        plot=plot,
        caption=f"{_begun(title)}: ECE {found.ece:.3f}, "
        f"negative log likelihood {found.nll:.3f} nats.",
    )


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
