"""What is told on standard error of long work: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sftbench.preparation import Told
    from sftbench.progress import Progress

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def telling() -> Iterator[Told]:
    """Give a `Told` of what happens before the first cell: downloads, pretraining."""
    from sftbench.preparation import Told

    with progressing() as (say, progress):
        yield Told(say=say, progress=progress)


@contextmanager
def progressing() -> Iterator[tuple[Callable[[str], None], Progress]]:
    """Give what says a line, and what is told of what is made, steps done, and steps in all."""
    if not sys.stderr.isatty():
        yield _say, _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield (lambda line: bars.console.print(line, markup=False)), progress


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
