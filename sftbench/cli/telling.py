"""What is told on standard error before the first cell: downloads, and the first of two stages."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sftbench.preparation import Told

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def telling() -> Iterator[Told]:
    """Give a `Told` that writes lines, with a bar on a terminal."""
    from sftbench.preparation import Told

    if not sys.stderr.isatty():
        yield Told(say=_say, progress=_Lines())
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield Told(say=lambda line: bars.console.print(line, markup=False), progress=progress)


def _say(line: str) -> None:
    click.echo(line, err=True)


class _Lines:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last > _SECONDS_BETWEEN_LINES:
            self._last = now
            _say(f"{what}: step {done} of {total}")
