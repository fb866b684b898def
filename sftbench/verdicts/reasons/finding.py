"""What a reason says where it is met."""

from __future__ import annotations

from dataclasses import dataclass

# Differences of numbers that a file holds in decimals: 0.9 - 0.8 is a little less than 0.1.
TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason that was met.

    Attributes:
        reason: Its name.
        hard: Whether it makes a failure.
        text: The evidence in words, with numbers.
        seeds: How many of the seeds that count, `7 of 7 seeds`; empty for one cell.
    """

    reason: str
    hard: bool
    text: str
    seeds: str = ""
