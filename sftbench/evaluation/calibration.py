"""Calibration error of the predicted class's probability, over bins of two kinds. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sftbench.evaluation.classification import confidence_and_correct

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expected_calibration_error(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64], bins: int = 15
) -> float:
    """Return the calibration error, in [0, 1], over bins of equal width.

    The gap |accuracy - mean confidence| of each bin, weighted by the bin's share of examples. See
    `equal_width_bins` for the borders.

    Args:
        logits: float [N, C].
        targets: int64 [N].
        bins: Number of bins, at least 1.

    Raises:
        ValueError: bins is below 1, or the input is invalid.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    confidence, correct = confidence_and_correct(logits, targets)
    return _weighted_gap(confidence, correct, equal_width_bins(confidence, bins))


def expected_calibration_error_equal_mass(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64], bins: int = 15
) -> float:
    """Return the calibration error, in [0, 1], over bins of equal numbers of examples.

    As `expected_calibration_error`, with the bins of `equal_mass_bins`; hence the order of examples
    matters where equal confidences meet at a border.

    Args:
        logits: float [N, C].
        targets: int64 [N].
        bins: Number of bins, at least 1.

    Raises:
        ValueError: bins is below 1, or the input is invalid.

    Source: Nguyen and O'Connor 2015, "Posterior calibration and exploratory analysis for natural
        language processing models" (adaptive binning), here with the L1 gap.
    """
    confidence, correct = confidence_and_correct(logits, targets)
    return _weighted_gap(confidence, correct, equal_mass_bins(confidence, bins))


def equal_width_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each confidence, int64 [N]: bin i holds (i / bins, (i + 1) / bins].

    A border belongs to the bin below it; a confidence of exactly 0 is in bin 0.

    Raises:
        ValueError: bins is below 1, or a confidence is outside [0, 1].
    """
    _check(confidence, bins)
    # Each border is the float nearest to i / bins; numpy.linspace(0, 1, 11)[6] is above 0.6.
    borders = np.arange(1, bins) / bins
    return np.searchsorted(borders, confidence, side="left").astype(np.int64, copy=False)


def equal_mass_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each confidence, int64 [N], bins of nearly equal size.

    The examples in ascending order of confidence, equals in the order given, are cut into `bins`
    consecutive parts; with N = q bins + r the first r parts hold q + 1 examples, the others q
    (`numpy.array_split`), so with N < bins the last ones are empty.

    Raises:
        ValueError: bins is below 1, or a confidence is outside [0, 1].
    """
    _check(confidence, bins)
    assigned = np.empty(confidence.size, dtype=np.int64)
    for number, part in enumerate(np.array_split(np.argsort(confidence, kind="stable"), bins)):
        assigned[part] = number
    return assigned


def _weighted_gap(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], assigned: NDArray[np.int64]
) -> float:
    """Return sum over bins of n_b / N |accuracy_b - confidence_b|, an empty bin giving 0."""
    # n_b cancels: the gap of the means times n_b is the gap of the sums.
    gaps = np.bincount(assigned, weights=correct) - np.bincount(assigned, weights=confidence)
    return float(np.abs(gaps).sum() / assigned.size)


def _check(confidence: NDArray[Any], bins: int) -> None:
    """Raise ValueError unless confidence is [N] within [0, 1] and bins at least 1."""
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if confidence.ndim != 1 or confidence.size == 0:
        raise ValueError(
            f"confidence must have shape [N] with N >= 1, got {list(confidence.shape)}"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidence must lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of a reliability diagram.

    Attributes:
        low: Smallest border of the bin (equal mass: smallest confidence in it).
        high: Largest border (equal mass: largest confidence).
        count: Examples in it.
        confidence: Their mean confidence; None where there are none.
        accuracy: The share of them that is right; None where there are none.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability_diagram(
    logits: NDArray[np.floating[Any]],
    targets: NDArray[np.int64],
    bins: int = 15,
    *,
    equal_mass: bool = False,
) -> tuple[ReliabilityBin, ...]:
    """Return the bars of a reliability diagram: what `expected_calibration_error` sums over.

    Args:
        logits: float [N, C]; divided by a temperature for the diagram after scaling.
        targets: int64 [N].
        bins: Number of bins, at least 1.
        equal_mass: The bins of `equal_mass_bins`, those without an example left out.

    Raises:
        ValueError: bins is below 1, or the input is invalid.
    """
    confidence, correct = confidence_and_correct(logits, targets)
    cut = equal_mass_bins if equal_mass else equal_width_bins
    assigned = cut(confidence, bins)
    found = []
    for number in range(bins):
        some = assigned == number
        count = int(some.sum())
        if equal_mass and not count:
            continue
        inside = confidence[some]
        low, high = number / bins, (number + 1) / bins
        found.append(
            ReliabilityBin(
                low=float(inside.min()) if equal_mass else low,
                high=float(inside.max()) if equal_mass else high,
                count=count,
                confidence=float(inside.mean()) if count else None,
                accuracy=float(correct[some].mean()) if count else None,
            )
        )
    return tuple(found)
