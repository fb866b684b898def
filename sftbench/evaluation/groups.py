"""Groups of classes by their number of training images, and the recall of a group.

Groups say something only where training is imbalanced: both kinds are None unless the largest class
has at least twice the images of the smallest (and more than it, where that one has none).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def frequency_groups(train_counts: NDArray[np.int64]) -> dict[str, list[int]] | None:
    """Return the classes of > 100, 20 to 100, and < 20 training images.

    Args:
        train_counts: int64 [C], training images of each class, 0 allowed (such a class is few).

    Returns:
        `many`, `medium`, `few` -> class indices, ascending; a group may be empty. None where the
        counts are not imbalanced.

    Raises:
        ValueError: The counts are no integers >= 0 of shape [C] with C >= 1.

    Source: Liu et al. 2019, "Large-Scale Long-Tailed Recognition in an Open World".
    """
    counts = _check(train_counts)
    if not _imbalanced(counts):
        return None
    many, few = counts > 100, counts < 20
    return {
        "many": np.flatnonzero(many).tolist(),
        "medium": np.flatnonzero(~many & ~few).tolist(),
        "few": np.flatnonzero(few).tolist(),
    }


def rank_groups(train_counts: NDArray[np.int64]) -> dict[str, list[int]] | None:
    """Return the top 30 %, the middle 40 % and the last 30 % of classes by training images.

    Ranks descend with the count; equal counts rank by class index. Head and tail hold 0.3 C classes
    each, rounded half up (C = 2: 1, 5: 2, 10: 3, 15: 5), so at least one; medium holds the rest,
    none for C = 2. A class without training images is always tail: where more than the last 30 %
    have none, the tail grows over medium, then over head.

    Args:
        train_counts: int64 [C], training images of each class.

    Returns:
        `head`, `medium`, `tail` -> class indices, ascending. None where the counts are not
        imbalanced.

    Raises:
        ValueError: The counts are no integers >= 0 of shape [C] with C >= 1.
    """
    counts = _check(train_counts)
    if not _imbalanced(counts):
        return None
    size = (3 * counts.size + 5) // 10
    tail_start = min(counts.size - size, int(np.count_nonzero(counts)))
    head_end = min(size, tail_start)
    ranked: list[int] = np.argsort(-counts, kind="stable").tolist()
    return {
        "head": sorted(ranked[:head_end]),
        "medium": sorted(ranked[head_end:tail_start]),
        "tail": sorted(ranked[tail_start:]),
    }


def group_recall(recalls: NDArray[np.float64], classes: Sequence[int]) -> float | None:
    """Return the mean recall of a group's classes.

    Args:
        recalls: float64 [C], NaN for a class without test support; such a class is left out.
        classes: Indices of the group's classes.

    Returns:
        The mean; None for a group that is empty or has no test support, never 0 for that.

    Raises:
        ValueError: A class is outside 0..C-1, or recalls is not of shape [C].
    """
    if recalls.ndim != 1:
        raise ValueError(f"recalls must have shape [C], got {list(recalls.shape)}")
    if any(not 0 <= each < recalls.size for each in classes):
        raise ValueError(f"classes must lie in 0..{recalls.size - 1}, got {list(classes)}")
    chosen = recalls[np.asarray(classes, dtype=np.int64)]
    chosen = chosen[~np.isnan(chosen)]
    return float(chosen.mean()) if chosen.size else None


def _imbalanced(counts: NDArray[np.int64]) -> bool:
    """Return whether the largest count is above, and at least twice, the smallest."""
    largest, smallest = int(counts.max()), int(counts.min())
    return largest > smallest and largest >= 2 * smallest


def _check(train_counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return the counts as int64 [C], or raise ValueError."""
    if train_counts.ndim != 1 or train_counts.size == 0:
        raise ValueError(
            f"train_counts must have shape [C] with C >= 1, got {list(train_counts.shape)}"
        )
    if not np.issubdtype(train_counts.dtype, np.integer):
        raise ValueError(f"train_counts must be integers, got {train_counts.dtype}")
    if train_counts.min() < 0:
        raise ValueError(f"train_counts must not be negative, got {int(train_counts.min())}")
    return train_counts.astype(np.int64, copy=False)
