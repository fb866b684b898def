"""Areas under curves of a score over what is taken away or put back, and rank correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def area(scores: NDArray[np.float64]) -> float:
    """Return the area under scores float64 [N] at N equal steps from 0 to 1, by trapezoids.

    Raises:
        ValueError: There are fewer than two.
    """
    if len(scores) < 2:
        raise ValueError(f"an area needs two scores, got {len(scores)}")
    return float((scores[1:] + scores[:-1]).sum() / 2 / (len(scores) - 1))


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Return Spearman's correlation of two fields of values; None where one is constant.

    Args:
        first: float64 [N].
        second: float64 [N].
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (first, second)]
    sizes = float(np.linalg.norm(ranks[0])) * float(np.linalg.norm(ranks[1]))
    return float((ranks[0] * ranks[1]).sum() / sizes) if sizes > 0 else None
