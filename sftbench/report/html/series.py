"""The numbers behind the plots: pure functions of records and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftbench.records import HistoryRow, Record

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line with its band, float64 [P] each; NaN where no seed has a value."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    num_seeds: int


def pareto(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Return which points no other beats: none is as cheap and better, or cheaper and as good.

    Args:
        costs: Lower is better.
        values: Higher is better.

    Returns:
        Indices by rising cost.
    """
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -values[index]))
    front: list[int] = []
    for index in order:
        if not front or values[index] > values[front[-1]]:
            front.append(index)
        elif values[index] == values[front[-1]] and costs[index] == costs[front[-1]]:
            front.append(index)  # equal points beat none of each other
    return front


def measured(records: Sequence[Record]) -> str:
    """Return the field of the history to draw: what most says of learning, and is there."""
    for name in ("val_metric", "val_loss", "train_loss"):
        if any(getattr(row, name) is not None for one in records for row in one.history):
            return name
    return ""


def learning_curve(records: Sequence[Record], field: str) -> Curve | None:
    """Return a field of the history by epoch, over all stages in a row; None without values.

    Mean, lowest and highest over seeds. Seeds that were evaluated at other epochs are joined by
    straight lines, and count only between their first and last evaluation.
    """
    lines = [line for one in records if (line := _line(one.history, field))]
    if not lines:
        return None
    x = np.array(sorted({point for points, _ in lines for point in points}))
    values = np.array([np.interp(x, *line, left=np.nan, right=np.nan) for line in lines])
    count = np.sum(~np.isnan(values), axis=0)
    mean = np.nansum(values, axis=0) / count
    return Curve(
        x, mean, np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0), len(lines)
    )


def _line(history: Sequence[HistoryRow], field: str) -> tuple[list[float], list[float]] | None:
    start, end, stage = 0.0, 0.0, None
    x: list[float] = []
    y: list[float] = []
    for row in history:
        if row.stage != stage:
            start, stage = end, row.stage
        end = start + row.epoch
        value = getattr(row, field)
        if value is not None and (not x or end > x[-1]):
            x.append(end)
            y.append(value)
    return (x, y) if x else None


@dataclass(frozen=True, slots=True)
class ClassRecalls:
    """Recall by class, mean, lowest and highest over seeds; classes with most images first."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats


def class_recalls(records: Sequence[Record]) -> ClassRecalls | None:
    """Return recalls by class of records that have the same classes; None where there are none.

    The training count of a class is the mean over seeds, rounded.
    """
    kept = [{each.label: each for each in one.per_class} for one in records if one.per_class]
    if not kept:
        return None
    first = kept[0]
    shared = [
        label
        for label in first
        if all(label in each and each[label].recall is not None for each in kept)
    ]
    if not shared:
        return None
    table = np.array([[each[label].recall for label in shared] for each in kept], dtype=np.float64)
    means = np.mean([[each[label].train_count for label in shared] for each in kept], axis=0)
    counts = np.rint(means).astype(np.int64)
    order = np.argsort(-counts, kind="stable")
    return ClassRecalls(
        tuple(shared[index] for index in order),
        counts[order],
        table.mean(axis=0)[order],
        table.min(axis=0)[order],
        table.max(axis=0)[order],
    )


_PARTS = {
    "setup": ("setup_seconds",),
    "training": ("train_seconds", "warmup_seconds", "compile_seconds"),
    "data and frozen features": ("data_wait_seconds",),
    "evaluation": ("eval_seconds",),
    "reliability": ("reliability_seconds",),
}


def parts_of_time(records: Sequence[Record]) -> dict[str, float]:
    """Return the mean seconds of a cell by purpose; `other` is what is left of the total."""
    found = {
        name: float(np.mean([sum(getattr(one.timing, f) for f in fields) for one in records]))
        for name, fields in _PARTS.items()
    }
    total = float(np.mean([one.timing.total_seconds for one in records]))
    return {**found, "other": max(0.0, total - sum(found.values()))}
