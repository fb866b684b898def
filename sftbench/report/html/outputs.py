"""What kept predictions say: reliability of the confidence, and which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftbench.contracts.task import Predictions
from sftbench.evaluation.calibration import equal_width_bins
from sftbench.evaluation.classification import confidence_and_correct, confusion

Floats = NDArray[np.float64]
NUM_BINS = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of confidence, [B] each: over all seeds, with the range of accuracy over seeds.

    `confidence`, `accuracy`, `low` and `high` are NaN where a bin is empty.
    """

    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats
    low: Floats
    high: Floats


def reliability(seeds: Sequence[Predictions], bins: int = NUM_BINS) -> Reliability:
    """Return accuracy against confidence, in bins of equal width."""
    counts, confidences, hits = (np.zeros((len(seeds), bins)) for _ in range(3))
    for row, kept in enumerate(seeds):
        confidence, correct = confidence_and_correct(kept.outputs, kept.targets)
        place = equal_width_bins(confidence, bins)
        counts[row] = np.bincount(place, minlength=bins)
        confidences[row] = np.bincount(place, weights=confidence, minlength=bins)
        hits[row] = np.bincount(place, weights=correct, minlength=bins)
    accuracies = _ratio(hits, counts)
    total = counts.sum(axis=0)
    return Reliability(
        count=total.astype(np.int64),
        confidence=_ratio(confidences.sum(axis=0), total),
        accuracy=_ratio(hits.sum(axis=0), total),
        low=np.fmin.reduce(accuracies, axis=0),
        high=np.fmax.reduce(accuracies, axis=0),
    )


def confusion_shares(seeds: Sequence[Predictions]) -> Floats:
    """Return for each class the share of its examples by predicted class, float64 [C, C].

    Over all seeds together: row = target, column = predicted; NaN for a class without examples.
    """
    num_classes = seeds[0].outputs.shape[1]
    counts = np.zeros((num_classes, num_classes))
    for kept in seeds:
        counts += confusion(kept.outputs.argmax(axis=1), kept.targets, num_classes)
    return _ratio(counts, counts.sum(axis=1, keepdims=True))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    undefined = np.full(numerator.shape, np.nan)
    wide = np.broadcast_to(denominator, numerator.shape)
    return np.asarray(np.divide(numerator, wide, out=undefined, where=wide > 0))
