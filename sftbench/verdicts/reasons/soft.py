"""Soft reasons of one cell: they say what is wrong with it, and make no failure.

Each says nothing where the record lacks what it looks at: only what was measured is judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sftbench.names import shown
from sftbench.records import MetricSpec, Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, class_counts
from sftbench.verdicts.reasons.finding import TOLERANCE, Finding


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the section's head on frozen features measured, each a mean over its completed seeds.

    Attributes:
        label: Of its group; empty where there is none to compare with.
        calibration_error: ECE after temperature scaling; None where no record has it.
        robustness: Accuracy on corrupted images over accuracy on clean ones; None likewise.
    """

    label: str = ""
    calibration_error: float | None = None
    robustness: float | None = None

    @classmethod
    def of(cls, group: Group | None) -> Anchor:
        """Return what the completed seeds of a group measured."""
        if group is None:
            return cls()
        return cls(
            label=group.label,
            calibration_error=_mean(group, "ece_scaled", "test"),
            robustness=_mean(group, "ratio", "corrupted"),
        )


SoftReason = Callable[[Record, Anchor, Criteria], Finding | None]


def overfit(record: Record, _anchor: Anchor, criteria: Criteria) -> Finding | None:
    """It fits the images that it was trained on far better than others, and its loss shows it.

    Both are needed. A gap alone is usual: accuracy on validation may still rise. And a validation
    loss that rises alone may be over-confidence. The gap is of the primary metric of the selected
    weights, in shares of its range; training images are seen plain, with the labels that they
    were trained with. The validation loss is the task's own in every stage, so that its minimum
    is over all of training.
    """
    spec = record.primary
    if record.status != "ok" or spec is None:
        return None
    train, test = record.value(spec.name, "train"), record.value(spec.name)
    losses = [row for row in record.history if row.val_loss is not None]
    if train is None or test is None or not losses:
        return None
    gap = range_gap(spec, train, test)
    lowest = min(losses, key=lambda row: row.val_loss or 0.0)
    low, end = lowest.val_loss or 0.0, losses[-1].val_loss or 0.0
    if not (gap > criteria.overfit_gap + TOLERANCE and end > criteria.overfit_rise * low > 0):
        return None
    return Finding(
        "OVERFIT",
        hard=False,
        text=f"{spec.name} {train:.3f} on training examples, {test:.3f} on test (gap more than "
        f"{criteria.overfit_gap:g}); validation loss {end:.3g} at the end, {low:.3g} at epoch "
        f"{lowest.epoch:.3g} of stage {shown(lowest.stage)} (more than "
        f"{criteria.overfit_rise:g} x)",
    )


def miscalibrated(record: Record, anchor: Anchor, criteria: Criteria) -> Finding | None:
    """Its confidence is wrong even after temperature scaling on validation.

    Either by itself, or far more so than that of a head on frozen features: by the factor, and by
    the margin, since twice nothing is nothing. ECE of few examples is large by chance alone, so the
    evidence says how large.
    """
    error = record.value("ece_scaled")
    if record.status != "ok" or error is None:
        return None
    limits = []
    if error > criteria.calibration_error + TOLERANCE:
        limits.append(f"> {criteria.calibration_error:g}")
    base = anchor.calibration_error
    if base is not None and _is_far_above(error, base, criteria):
        limits.append(f"> {criteria.calibration_factor:g} x {base:.3f} of {anchor.label}")
    if not limits:
        return None
    temperature = record.value("temperature")
    scaled = "" if temperature is None else f" (T = {temperature:.3g})"
    return Finding(
        "MISCALIBRATED",
        hard=False,
        text=f"ECE {error:.3f} after temperature scaling{scaled} {' and '.join(limits)}"
        f"{_by_chance(record)}",
    )


def forgetting(record: Record, _anchor: Anchor, criteria: Criteria) -> Finding | None:
    """The tuned backbone no longer serves the source task's own head."""
    before, after = (record.value(f"accuracy_{when}", "source") for when in ("before", "after"))
    if record.status != "ok" or before is None or after is None:
        return None
    drop = before - after
    if not drop >= criteria.forgetting_drop - TOLERANCE:
        return None
    return Finding(
        "FORGETTING",
        hard=False,
        text=f"source accuracy {before:.3f} before, {after:.3f} after: {drop:.3f} lower (at least "
        f"{criteria.forgetting_drop:g})",
    )


def fragile(record: Record, anchor: Anchor, criteria: Criteria) -> Finding | None:
    """Corruption costs it more than it costs a head on frozen features."""
    ratio, base = record.value("ratio", "corrupted"), anchor.robustness
    if record.status != "ok" or ratio is None or base is None:
        return None
    drop = base - ratio
    if not drop >= criteria.fragile_drop - TOLERANCE:
        return None
    return Finding(
        "FRAGILE",
        hard=False,
        text=f"corrupted images keep {ratio:.3f} of its clean accuracy, {base:.3f} of that of "
        f"{anchor.label}: {drop:.3f} lower (at least {criteria.fragile_drop:g})",
    )


SOFT_REASONS: dict[str, SoftReason] = {
    "OVERFIT": overfit,
    "MISCALIBRATED": miscalibrated,
    "FORGETTING": forgetting,
    "FRAGILE": fragile,
}


def _is_far_above(error: float, base: float, criteria: Criteria) -> bool:
    by_factor = error > criteria.calibration_factor * base + TOLERANCE
    return by_factor and error - base >= criteria.margin - TOLERANCE


def chance_error(accuracy: float, num_examples: int, bins: int = 15) -> float:
    """Return an upper bound of the mean ECE of a model that is perfectly calibrated.

    With n_b of N examples in bin b and confidence p_b, its ECE is the sum of n_b / N |error of
    p_b|, whose mean is sqrt(2 / pi) / N sum sqrt(n_b p_b (1 - p_b)) for normal errors. By Cauchy
    and Schwarz, and since p (1 - p) is concave, it is largest with all p_b and n_b alike.
    """
    return math.sqrt(2 / math.pi * bins * accuracy * (1 - accuracy) / num_examples)


def _by_chance(record: Record) -> str:
    counts = class_counts(record)
    if counts is None:
        return ""
    num = int(counts.support.sum())
    bound = chance_error(float(counts.hits.sum()) / num, num)
    return f" (by chance a calibrated model's is up to {bound:.3f} on {num} examples)"


def range_gap(spec: MetricSpec, train: float, test: float) -> float:
    """Return how much better `train` is, a share of the metric's range (of 1 without an end)."""
    low, high = spec.range
    width = 1.0 if high is None else high - low
    return (test - train if spec.direction == "min" else train - test) / width


def _mean(group: Group, metric: str, split: str) -> float | None:
    values = [one.value(metric, split) for one in group.completed.values()]
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
