"""What happened when: losses, the metric on validation, and the rate, over all stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sftbench.records import HistoryRow, Record


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation; `epoch` counts on from stage to stage. None: not measured there."""

    stage: str
    epoch: float
    train_loss: float | None
    val_loss: float | None
    val_metric: float | None
    rate: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The history of one cell.

    Attributes:
        seed: Of the cell; None for a mean over seeds.
        points: In their order.
        stages: Name of each stage, and the epoch at which it begins.
    """

    seed: int | None
    points: tuple[Point, ...]
    stages: tuple[tuple[str, float], ...]

    def series(self, name: str) -> list[tuple[float, float]]:
        """Return (epoch, value) of `train_loss`, `val_loss`, `val_metric` or `rate`."""
        found = [(point.epoch, getattr(point, name)) for point in self.points]
        return [(epoch, value) for epoch, value in found if value is not None]


@dataclass(frozen=True, slots=True)
class Rise:
    """How validation loss went: least at one epoch, and at the end."""

    least: float
    least_epoch: float
    last: float
    last_epoch: float

    @property
    def ratio(self) -> float | None:
        """Last over least; None where the least is 0."""
        return self.last / self.least if self.least > 0 else None


def curve_of(seed: int | None, history: Sequence[HistoryRow]) -> Curve:
    """Return the history of one cell, its stages one after the other."""
    points: list[Point] = []
    stages: list[tuple[str, float]] = []
    start = end = before = 0.0
    for row in history:
        if not stages or row.stage != stages[-1][0] or row.epoch < before:
            start = end
            stages.append((row.stage, start))
        before, end = row.epoch, start + row.epoch
        points.append(Point(row.stage, end, row.train_loss, row.val_loss, row.val_metric, row.rate))
    return Curve(seed, tuple(points), tuple(stages))


def curves_of(records: Mapping[int, Record]) -> tuple[Curve, ...]:
    """Return the curves of cells that have a history, by seed; of whatever end."""
    return tuple(
        curve_of(seed, record.history) for seed, record in records.items() if record.history
    )


def mean_curve(curves: Sequence[Curve]) -> Curve | None:
    """Return the mean over seeds at each point; None where they were not measured alike."""
    if not curves:
        return None
    places = {tuple((point.stage, point.epoch) for point in one.points) for one in curves}
    if len(places) > 1:
        return None
    points = tuple(
        Point(
            stage=same[0].stage,
            epoch=same[0].epoch,
            train_loss=_mean(one.train_loss for one in same),
            val_loss=_mean(one.val_loss for one in same),
            val_metric=_mean(one.val_metric for one in same),
            rate=float(np.mean([one.rate for one in same])),
        )
        for same in zip(*(one.points for one in curves), strict=True)
    )
    return Curve(None, points, curves[0].stages)


def rise_of(curve: Curve) -> Rise | None:
    """Return how validation loss went in the last stage; None below two measurements.

    The loss of another stage may have another unit.
    """
    if not curve.stages:
        return None
    begin = curve.stages[-1][1]
    losses = [one for one in curve.series("val_loss") if one[0] >= begin]
    if len(losses) < 2:
        return None
    epoch, least = min(losses, key=lambda one: one[1])
    return Rise(least, epoch, losses[-1][1], losses[-1][0])


def _mean(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known and len(known) == len(found) else None
