"""Selective classification: how good predictions are when the least certain are left out.

Examples are ranked by the probability of their predicted class. Among equal ones no order is
better than another, so each counts with the mean error of all that are equal: the expectation over
random orders, which does not depend on the order given. Pure numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sftbench.evaluation.classification import confidence_and_correct

if TYPE_CHECKING:
    from numpy.typing import NDArray


def risks(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coverages 1 / N, 2 / N ... 1 and the error rate at each, both float64 [N].

    Args:
        logits: float [N, C].
        targets: int64 [N].

    Raises:
        ValueError: The input is invalid.
    """
    confidence, correct = confidence_and_correct(logits, targets)
    values, group = np.unique(-confidence, return_inverse=True)  # the most certain first
    sizes = np.bincount(group, minlength=len(values))
    wrong = np.bincount(group, weights=~correct, minlength=len(values))
    errors = np.repeat(wrong / sizes, sizes)
    counts = np.arange(1, len(errors) + 1)
    return counts / len(errors), np.cumsum(errors) / counts


def aurc(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float | None:
    """Return the area under the curve of risk over coverage, from coverage 1 / N to 1.

    By trapezoids, in [0, 1 - 1 / N]: 0 without an error. None for one example, which has no area.

    Raises:
        ValueError: The input is invalid.

    Source: Geifman and El-Yaniv 2017, arXiv:1705.08500 (the curve); the area is the trapezoids'.
    """
    coverage, risk = risks(logits, targets)
    if len(risk) == 1:
        return None
    return float(((risk[1:] + risk[:-1]) / 2 * np.diff(coverage)).sum())


def selective_accuracy(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64], coverage: float = 0.8
) -> float:
    """Return the accuracy on the most certain share of the examples.

    Args:
        logits: float [N, C].
        targets: int64 [N].
        coverage: The share, above 0 and at most 1; rounded up to a whole example.

    Raises:
        ValueError: The coverage is outside (0, 1], or the input is invalid.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, got {coverage:g}")
    _, risk = risks(logits, targets)
    # Rounded first: 0.8 x 1,000 is no whole number in floating point for every share and count.
    count = int(np.ceil(round(coverage * len(risk), 9)))
    return float(1 - risk[max(count, 1) - 1])
