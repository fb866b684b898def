"""What is seen of a download: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sftbench.names import one_line

if TYPE_CHECKING:
    from sftbench.contracts.dataset import FetchProgress

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def transfer_progress() -> Iterator[FetchProgress]:
    """Yield what `Dataset.fetch` tells its progress to, on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(one_line(what, 40), total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show


class _Lines:
    """A line when something begins, when it is whole, and every few seconds between."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        begins = what not in self._last
        whole = total is not None and done >= total
        if not begins and not whole and now - self._last[what] < _SECONDS_BETWEEN_LINES:
            return
        self._last[what] = now
        of = "" if total is None else f" of {total:,}"
        print(f"{one_line(what)}: {done:,}{of} bytes", file=sys.stderr, flush=True)  # noqa: T201
