"""The order of examples: a stage's whole budget, cut into batches before it starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sftbench.contracts.strategy import Sampler

_STRETCH: Final = 32


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
    lengths: NDArray[np.int64] | None = None,
    batch_size: int = 1,
) -> NDArray[np.int64]:
    """Return positions int64 [draws] in the variant's training examples.

    Without a sampler each example occurs once an epoch, in a new order; with one, each epoch
    draws as many examples with replacement, by weights that may change from epoch to epoch.

    Args:
        targets: int64 [n], of the training examples.
        draws: How many.
        generator: Of the cell's seed.
        sampler: Or None.
        lengths: int64 [n]: batches are made of examples of similar length; None: as they come.
        batch_size: Of those batches.
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
    drawn = np.concatenate(parts)[:draws].astype(np.int64)
    if lengths is None:
        return drawn
    return _by_length(drawn, lengths[drawn], batch_size, generator, count)


def _by_length(
    drawn: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    generator: np.random.Generator,
    epoch: int,
) -> NDArray[np.int64]:
    """Put examples of similar length into one batch; the batches come in random order.

    Sorted are stretches of at most 32 batches, so that chance still decides who meets whom, and
    none crosses the border of an epoch by more than a batch.

    Args:
        drawn: int64 [draws], positions.
        lengths: int64 [draws], of each.
        batch_size: Examples in a batch.
        generator: Of the cell's seed.
        epoch: Draws in one epoch.
    """
    ends = np.arange(epoch, len(drawn), epoch) // batch_size * batch_size
    parts = []
    for part in np.split(np.arange(len(drawn)), ends):
        for start in range(0, len(part), _STRETCH * batch_size):
            stretch = part[start : start + _STRETCH * batch_size]
            stretch = stretch[np.argsort(lengths[stretch], kind="stable")]
            full = len(stretch) // batch_size * batch_size
            whole = stretch[:full].reshape(-1, batch_size)
            parts += [*generator.permutation(whole), stretch[full:]]
    return drawn[np.concatenate(parts)] if parts else drawn


def batches(order: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the batches of a stage."""
    start = 0
    for size in batch_sizes(len(order), batch_size):
        yield order[start : start + size]
        start += size
