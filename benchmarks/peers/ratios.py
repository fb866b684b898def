"""Ratios of a round, and how they spread over rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.contestants import PEERS
from benchmarks.peers.items import Comparison


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of the same quantity in several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 2
        shown = (f"{value:.{digits}f}" for value in (self.median, self.least, self.most))
        return "{} ({}..{})".format(*shown)


@dataclass(frozen=True, slots=True)
class Total:
    """An entry in one round: seconds and images, its parts counted as often as they stand for."""

    seconds: float
    images: int

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds


Round = Mapping[str, Total]


def ratio(comparison: Comparison, totals: Round) -> float | None:
    """Return the ratio within a round; None where an entry is missing."""
    of, by = _entry(comparison.of, totals), _entry(comparison.by, totals)
    if of is None or by is None:
        return None
    if comparison.measure == "time":
        return of.seconds / by.seconds
    return of.rate / by.rate


def spread(comparison: Comparison, rounds: Sequence[Round]) -> Spread | None:
    """Return how a ratio spreads over the rounds that have both entries."""
    values = [ratio(comparison, totals) for totals in rounds]
    found = [value for value in values if value is not None]
    return Spread.of(found) if found else None


def _entry(label: str, totals: Round) -> Total | None:
    if label != "peers":
        return totals.get(label)
    there = [totals[name] for name in PEERS if name in totals]
    return max(there, key=lambda total: total.rate, default=None)
