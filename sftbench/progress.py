"""Who is told how far long work has come."""

from __future__ import annotations

from collections.abc import Callable

# Is given what is done, how much of it so far, and how much in all.
Progress = Callable[[str, int, int], None]


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
