"""The order of examples: a stage's whole budget, cut into batches before it starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sftbench.contracts.strategy import Sampler


def num_draws(epochs: float, shares: Sequence[float], num_examples: int) -> list[int]:
    """Return the target examples that each stage draws: at least one.

    Ends of stages are rounded, not their lengths, so that all stages together meet the budget.
    """
    ends = [round(epochs * share * num_examples) for share in itertools.accumulate(shares)]
    return [max(1, end - start) for start, end in zip([0, *ends], ends, strict=False)]


def batch_sizes(draws: int, batch_size: int) -> list[int]:
    """Cut a budget into full batches and one remainder.

    Batches run across the borders of epochs, so the budget is met to the example. A remainder of
    one joins the batch before it: batch norm cannot train on a single 1 x 1 map.
    """
    full, rest = divmod(draws, batch_size)
    sizes = [batch_size] * full
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def draw(
    targets: NDArray[np.int64],
    draws: int,
    generator: np.random.Generator,
    sampler: Sampler | None,
) -> NDArray[np.int64]:
    """Return positions int64 [draws] in the variant's training examples.

    Without a sampler each example occurs once an epoch, in a new order; with one, each epoch
    draws as many examples with replacement, by weights that may change from epoch to epoch.
    """
    count = len(targets)
    parts: list[NDArray[np.int64]] = []
    done = 0
    while done < draws:
        if sampler is None:
            epoch = generator.permutation(count)
        else:
            weights = np.asarray(sampler(targets, done / draws), dtype=np.float64)
            epoch = generator.choice(count, size=count, p=weights / weights.sum())
        parts.append(epoch)
        done += count
    return np.concatenate(parts)[:draws].astype(np.int64)


def batches(order: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the batches of a stage."""
    start = 0
    for size in batch_sizes(len(order), batch_size):
        yield order[start : start + size]
        start += size
