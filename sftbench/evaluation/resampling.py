"""The primary metric of one record on resampled test examples: what intervals are made from.

The resamples are the same for all records of a test set, so a difference of two records is
resampled by subtracting. They stand beside each attempt in the store; hence verdicts need neither
the predictions nor the task that made them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
FloatT = TypeVar("FloatT", bound=np.floating[Any])
Metric = Callable[[Floats], ArrayLike]

NUM_RESAMPLES = 2000
# Any fixed seed will do; a fixed one gives the same table for the same records.
SEED = 0
# As bytes, counts of so many draws are kept for the next record of a test set: 64 MiB.
_MOST_KEPT = 1 << 26
_CHUNK_VALUES = 1 << 22
_MOST_COUNT = 255


@dataclass(frozen=True, slots=True)
class Resampled:
    """The primary metric of one record, on the whole test set and on resamples of it.

    Attributes:
        values: float64 [1 + R]: on the whole test set, then on each resample of its examples. NaN
            where it is not defined.
        num_examples: N.
        examples: Digest of the examples' positions in the official split: records pair up where it
            is the same.
        tolerance: How far `values` may be from what the record's metric is.
        reasons: Names of the verdict reasons that apply to the task.
    """

    values: Floats
    num_examples: int
    examples: str
    tolerance: float
    reasons: frozenset[str]


def resample(
    statistics: Floats, metric: Metric, num_resamples: int = NUM_RESAMPLES, seed: int = SEED
) -> Floats:
    """Return a metric on the whole test set and on resamples of its examples, float64 [1 + R].

    Args:
        statistics: Additive ones of the examples, float64 [N, K], N at least 1.
        metric: Maps their sums over examples [..., K] to values [...].
        num_resamples: R. The first ones stay the same where R grows.
        seed: Of the draws; one seed gives the same draws for the same N.

    Raises:
        ValueError: The shape is not [N, K] with an example, or the metric's values are not [...].
    """
    sums = resampled_sums(statistics, num_resamples, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(metric(sums), dtype=np.float64)
    if values.shape != sums.shape[:1]:
        raise ValueError(f"metric must map [..., K] to [...], got {values.shape}")
    return values


def resampled_sums(
    statistics: NDArray[FloatT], num_resamples: int = NUM_RESAMPLES, seed: int = SEED
) -> NDArray[FloatT]:
    """Return sums over the whole test set and over resamples of its examples, [1 + R, K].

    Args:
        statistics: Of the examples, float64 [N, K], N at least 1; or float32, and so are the sums.
        num_resamples: R. The first ones stay the same where R grows.
        seed: Of the draws; one seed gives the same draws for the same N.

    Raises:
        ValueError: The shape is not [N, K] with an example.
    """
    if statistics.ndim != 2 or len(statistics) < 1:
        raise ValueError(f"statistics must be [examples, K], got shape {statistics.shape}")
    blocks = _weights(len(statistics), num_resamples, seed)
    resampled = (counts.astype(statistics.dtype) @ statistics for counts in blocks)
    return np.concatenate([statistics.sum(axis=0, keepdims=True), *resampled])


def digest_of_examples(index: NDArray[np.int64]) -> str:
    """Return a digest of sorted positions, int64 [N]: 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(index, dtype="<i8").tobytes()).hexdigest()[:16]


def _weights(num_examples: int, num_resamples: int, seed: int) -> Iterator[NDArray[np.integer]]:
    """Yield blocks [b, N] of multinomial counts, `num_resamples` rows in all."""
    if num_examples * num_resamples <= _MOST_KEPT:
        counts = _kept_counts(num_examples, num_resamples, seed)
        rows = max(1, _CHUNK_VALUES // num_examples)
        return (counts[at : at + rows] for at in range(0, num_resamples, rows))
    return _counts(num_examples, num_resamples, seed)


@lru_cache(maxsize=2)
def _kept_counts(num_examples: int, num_resamples: int, seed: int) -> NDArray[np.integer]:
    counts = np.concatenate(list(_counts(num_examples, num_resamples, seed)))
    # No example is drawn so often but where there are one or two of them.
    return counts.astype(np.uint8 if counts.max(initial=0) <= _MOST_COUNT else np.int64)


def _counts(num_examples: int, num_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield blocks [b, N] of how often each example was drawn."""
    generator = np.random.Generator(np.random.PCG64(seed))
    n = num_examples
    rows = max(1, _CHUNK_VALUES // n)
    for start in range(0, num_resamples, rows):
        size = min(rows, num_resamples - start)
        # One count over shifted indices is several times faster than Generator.multinomial.
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
