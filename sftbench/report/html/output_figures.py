"""Reliability diagrams and confusion matrices of single rows, from kept predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sftbench.contracts.task import Predictions
from sftbench.pages.blocks import Figure
from sftbench.pages.plots import HEAT, INK, MUTED, SERIES, drawing, finished, short_labels
from sftbench.report.html.outputs import Floats, confusion_shares, reliability
from sftbench.report.html.source import RowView

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SEEDS = 10
MAX_CLASSES = 20
_MAX_PAIRS = 2000
_SIZE = 3.6


def output_figures(view: RowView, seeds: Sequence[Predictions]) -> tuple[Figure, Figure]:
    """Return the reliability diagram and the confusion matrix of a row.

    Args:
        view: The row; its first record names the classes.
        seeds: Logits of the test split of some seeds, at least one.
    """
    record = next(iter(view.group.completed.values()))
    width = seeds[0].outputs.shape[1]
    labels = [one.label for one in record.per_class]
    if len(labels) != width:
        labels = [str(number) for number in range(width)]
    return _reliability(view, seeds), _confusion(view, confusion_shares(seeds), labels, len(seeds))


def _reliability(view: RowView, seeds: Sequence[Predictions]) -> Figure:
    found = reliability(seeds)
    full = found.count > 0
    errors = [
        value for one in view.group.completed.values() if (value := one.value("ece")) is not None
    ]
    error = f" ECE, mean over seeds: {np.mean(errors):.3f}." if errors else ""
    with drawing(_SIZE, _SIZE) as axes:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        x = found.confidence[full]
        axes.vlines(x, found.low[full], found.high[full], color=SERIES[0], linewidth=1)
        sizes = 12 + 160 * found.count[full] / found.count.sum()
        axes.scatter(x, found.accuracy[full], s=sizes, color=SERIES[0], zorder=3)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        plot = finished(
            axes,
            name=f"reliability-{view.key}",
            alt=f"Reliability diagram of {view.row.label}: accuracy by confidence, "
            + "; ".join(f"{a:.2f} at {c:.2f}" for c, a in zip(x, found.accuracy[full], strict=True))
            + f".{error}",
            columns=("bin", "examples", "confidence", "accuracy", "lowest_seed", "highest_seed"),
            rows=[
                (number, int(count), *(None if np.isnan(one) else float(one) for one in values))
                for number, (count, *values) in enumerate(
                    zip(
                        found.count,
                        found.confidence,
                        found.accuracy,
                        found.low,
                        found.high,
                        strict=True,
                    )
                )
            ],
        )
    return Figure(
        plot=plot,
        caption=f"Reliability over {len(seeds)} seeds, {len(found.count)} bins: below the dashed "
        "line the model is surer than it is right. Size: share of examples; bars: lowest to "
        f"highest seed.{error}",
    )


def _confusion(view: RowView, shares: Floats, labels: Sequence[str], num_seeds: int) -> Figure:
    order = list(range(len(labels)))
    known = ~np.isnan(shares.diagonal())
    note = ""
    if len(labels) > MAX_CLASSES:
        worst = np.argsort(np.where(known, shares.diagonal(), 2.0), kind="stable")
        order = sorted(map(int, worst[:MAX_CLASSES]))
        note = f" The {MAX_CLASSES} of {len(labels)} classes that are found least often."
    size = max(_SIZE, 0.9 + 0.27 * len(order))
    with drawing(size, size) as axes:
        _matrix(axes, shares[np.ix_(order, order)])
        texts = short_labels([labels[index] for index in order], 14)
        axes.set_xticks(range(len(order)), texts, rotation=90)
        axes.set_yticks(range(len(order)), texts)
        axes.set_xlabel("predicted")
        axes.set_ylabel("target")
        mistakes = _mistakes(shares, labels)
        plot = finished(
            axes,
            name=f"confusion-{view.key}",
            alt=f"Confusion matrix of {view.row.label}. Most frequent mistakes: "
            + "; ".join(f"{a} taken for {b} {share:.0%}" for a, b, share in mistakes[:5])
            + ".",
            columns=("target", "predicted", "share_of_target"),
            rows=mistakes[:_MAX_PAIRS]
            + [
                (labels[index], labels[index], float(shares[index, index]))
                for index in map(int, np.flatnonzero(known))
            ],
        )
    return Figure(
        plot=plot,
        caption=f"Confusion matrix over {num_seeds} seeds: share of each class's examples by "
        f"predicted class, in %.{note}",
    )


def _matrix(axes: Axes, shares: Floats) -> None:
    from matplotlib.patches import Rectangle

    for (row, column), share in np.ndenumerate(np.nan_to_num(shares)):
        if share < 0.005:
            continue
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=HEAT, alpha=float(share))
        )
        axes.text(
            column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=INK
        )
    axes.set_xlim(-0.5, len(shares) - 0.5)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.tick_params(length=0, labelsize=7)


def _mistakes(shares: Floats, labels: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return target, predicted class and share of every mistake, the most frequent first."""
    wrong = np.nan_to_num(shares.copy())
    np.fill_diagonal(wrong, 0.0)
    rows, columns = np.nonzero(wrong)
    order = np.argsort(-wrong[rows, columns], kind="stable")
    return [(labels[rows[i]], labels[columns[i]], float(wrong[rows[i], columns[i]])) for i in order]
