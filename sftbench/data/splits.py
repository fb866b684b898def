"""Which examples train, and which validate: stratified, seeded, exact in number.

Chosen examples are those with the lowest raw words of the generator. NumPy promises to keep raw
words from release to release; it does not promise that of its permutations.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sftbench.errors import RequestError


def limit(
    targets: NDArray[np.int64],
    limit: int | None,
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Choose `limit` examples, each class in proportion (largest remainder).

    Args:
        targets: int64 [N] class indices.
        limit: Examples to keep; all, where it is None or at least N.
        generator: Chooses within each class.
        groups: int64 [N]; then whole groups are chosen, as many as fit.

    Returns:
        int64 [min(limit, N)] positions, ascending; of groups it may be fewer. The count of a
        class differs from its exact share by less than one; equal remainders favour the lower
        class. Of groups the shares are exact, since each holds every class equally often.

    Raises:
        RequestError: No group is so small.
    """
    if limit is None or limit >= len(targets):
        return np.arange(len(targets), dtype=np.int64)
    if groups is not None:
        return _fitting_groups(groups, limit, generator)
    counts = np.bincount(targets)
    return _choose(targets, _proportional(counts, counts, limit), generator)


def carve_validation(
    targets: NDArray[np.int64],
    fraction: float,
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split into training and validation, each class in proportion (largest remainder).

    Every class of two or more keeps at least one training example. The example of a class of one
    is taken only if there are not enough others.

    Args:
        targets: int64 [N] class indices.
        fraction: Share of validation, 0 <= fraction < 1; `round(fraction * N)` examples, which
            may be none.
        generator: Chooses within each class.
        groups: int64 [N]; then `round(fraction * G)` of the G groups validate, and no group
            stands on both sides.

    Returns:
        Positions int64 of training and of validation, both ascending; together 0 to N - 1.

    Raises:
        RequestError: So large a validation would leave a class nothing to train on.
    """
    if groups is not None:
        return _carve_groups(groups, fraction, generator)
    num = len(targets)
    size = round(fraction * num)
    counts = np.bincount(targets)
    most = np.maximum(counts - 1, 0)
    if size > most.sum():
        most = np.where(counts == 1, 1, most)
    if size > most.sum():
        raise RequestError(
            f"validation_fraction {fraction:g} takes {size} of {num} training images and leaves "
            f"some of {np.count_nonzero(counts)} classes none; lower it or use more images"
        )
    validation = _choose(targets, _proportional(counts, most, size), generator)
    train = np.setdiff1d(np.arange(num, dtype=np.int64), validation, assume_unique=True)
    return train, validation


def _carve_groups(
    groups: NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names, order = _shuffled_groups(groups, generator)
    size = round(fraction * len(names))
    if 0 < len(names) <= size:
        raise RequestError(
            f"validation_fraction {fraction:g} takes {size} of {len(names)} groups of training "
            "examples and leaves none; lower it or use more"
        )
    is_validation = np.isin(groups, names[order[:size]])
    return np.flatnonzero(~is_validation), np.flatnonzero(is_validation)


def _fitting_groups(
    groups: NDArray[np.int64], limit: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    names, order = _shuffled_groups(groups, generator)
    sizes = np.unique(groups, return_counts=True)[1]
    count = int(np.searchsorted(np.cumsum(sizes[order]), limit, side="right"))
    if count == 0:
        raise RequestError(
            f"a limit of {limit} examples is less than one group of {sizes[order[0]]} that must "
            "stay together; raise it"
        )
    return np.flatnonzero(np.isin(groups, names[order[:count]]))


def _shuffled_groups(
    groups: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the groups, ascending, and an order of them by raw words."""
    names = np.unique(groups)
    words = generator.bit_generator.random_raw(len(names))
    return names, np.argsort(words, kind="stable")


def index_hash(indices: NDArray[np.int64]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of `indices` as little-endian int64."""
    return hashlib.sha256(np.asarray(indices, dtype="<i8").tobytes()).hexdigest()[:16]


def _proportional(
    counts: NDArray[np.int64], most: NDArray[np.int64], total: int
) -> NDArray[np.int64]:
    """Share `total` among classes in proportion to `counts`, to none more than `most`.

    Source: the largest-remainder (Hamilton) method, in whole numbers.

    Args:
        counts: int64 [C].
        most: int64 [C], at most `counts`, with a sum of `total` or more.
        total: What is shared.

    Returns:
        int64 [C] with sum `total`.
    """
    num = max(int(counts.sum()), 1)
    shares = np.minimum(total * counts // num, most)
    priority = np.argsort(-(total * counts % num), kind="stable")
    while (left := total - int(shares.sum())) > 0:
        # One round is enough unless a class has reached its most.
        open_classes = priority[shares[priority] < most[priority]]
        shares[open_classes[:left]] += 1
    return shares


def _choose(
    targets: NDArray[np.int64], shares: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Choose `shares[c]` of each class c: positions int64, ascending."""
    counts = np.bincount(targets)
    words = generator.bit_generator.random_raw(len(targets))
    by_class = np.lexsort((words, targets))
    rank = np.arange(len(targets)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[rank < np.repeat(shares, counts)])
