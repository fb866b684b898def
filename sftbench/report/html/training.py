"""Plots of training and of its result by class."""

from __future__ import annotations

import numpy as np

from sftbench.pages.blocks import Figure
from sftbench.pages.plots import drawing, finished, label, style
from sftbench.report.html.axes import MAX_SERIES, Looks, left, legend, legend_names, scale, told
from sftbench.report.html.series import class_recalls, learning_curve, measured
from sftbench.report.html.source import SectionView


def curves(view: SectionView, looks: Looks) -> Figure | None:
    """Draw what was measured during training, mean and range over seeds."""
    records = {one.key: list(one.group.completed.values()) for one in view.rows}
    field = measured([record for each in records.values() for record in each])
    found = [
        (one, curve)
        for one in view.rows
        if field and (curve := learning_curve(records[one.key], field)) is not None
    ]
    if not found or all(len(curve.x) < 2 for _, curve in found):
        return None
    words = {
        "val_metric": f"validation {view.metric}",
        "val_loss": "validation loss",
        "train_loss": "training loss",
    }[field]
    texts = legend_names(one.row.label for one, _ in found[:MAX_SERIES])
    with drawing() as axes:
        for one, curve in found[:MAX_SERIES]:
            look = style(looks[one.row.label])
            axes.fill_between(
                curve.x, curve.low, curve.high, color=look["color"], alpha=0.16, linewidth=0
            )
            axes.plot(
                curve.x, curve.mean, label=texts[one.row.label], **{**look, "markersize": 3.5}
            )
        axes.set_xlabel("epochs, all stages in a row")
        axes.set_ylabel(label(words))
        legend(axes)
        plot = finished(
            axes,
            name=f"curves-{view.key}",
            alt=f"{words} by epoch, mean over seeds: "
            + told((one.row.label, f"{c.mean[0]:.3g} to {c.mean[-1]:.3g}") for one, c in found),
            columns=("strategy", "epoch", "mean", "lowest_seed", "highest_seed", "seeds"),
            rows=[
                (one.row.label, *map(float, point), curve.num_seeds)
                for one, curve in found
                for point in zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
            ],
        )
    return Figure(
        plot=plot,
        caption=f"{words.capitalize()} by epoch: mean over seeds, band from the lowest to the "
        f"highest seed.{left(len(found) - MAX_SERIES)}",
    )


def recalls(view: SectionView, looks: Looks) -> Figure | None:
    """Draw the recall of each class against its training count."""
    found = [
        (one, classes)
        for one in view.rows
        if (classes := class_recalls(list(one.group.completed.values()))) is not None
    ]
    if not found:
        return None
    counts = np.unique(np.concatenate([classes.counts for _, classes in found]))
    is_even = len(counts) < 2 or counts[-1] < 1.2 * max(counts[0], 1)
    texts = legend_names(one.row.label for one, _ in found[:MAX_SERIES])
    with drawing() as axes:
        for one, classes in found[:MAX_SERIES]:
            look = style(looks[one.row.label])
            if is_even:
                x, y = np.arange(1, len(classes.mean) + 1), np.sort(classes.mean)[::-1]
            else:
                x, y = np.maximum(classes.counts, 0.5), classes.mean
            axes.plot(
                x,
                y,
                label=texts[one.row.label],
                alpha=0.9,
                **(look if is_even else {**look, "linewidth": 0.8}),
            )
        axes.set_ylim(-0.03, 1.03)
        if is_even:
            axes.set_xlabel("classes, the one found most often first")
        else:
            scale(axes, [float(count) for count in counts if count > 0])
            axes.set_xlabel(f"training {label(view.section.units[1], 20)} of the class")
        axes.set_ylabel("recall of the class")
        legend(axes)
        plot = finished(
            axes,
            name=f"recall-{view.key}",
            alt="Recall by class, from the one with most training examples to the one with fewest: "
            + told(
                (
                    one.row.label,
                    f"{c.mean[0]:.2f} to {c.mean[-1]:.2f}, worst {c.mean.min():.2f}",
                )
                for one, c in found
            ),
            columns=(
                "strategy",
                "class",
                "train_count",
                "recall",
                "lowest_seed",
                "highest_seed",
            ),
            rows=[
                (one.row.label, name, int(count), *map(float, values))
                for one, c in found
                for name, count, *values in zip(
                    c.labels, c.counts, c.mean, c.low, c.high, strict=True
                )
            ],
        )
    about = (
        f"every class has about {counts[-1]} training {view.section.units[1]}"
        if is_even
        else "where the line falls to the left, small classes are lost"
    )
    return Figure(
        plot=plot,
        caption=f"Recall of each class, mean over seeds; {about}.{left(len(found) - MAX_SERIES)}",
    )
