"""Progress on standard error: a live table on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sftbench.cli.group_table import GroupTable
from sftbench.contracts.execution import CellFinished, CellProgress, CellStarted, Event
from sftbench.plan import Cell, Plan
from sftbench.records import Record
from sftbench.store import Store

_SECONDS_BETWEEN_LINES = 5.0


class ProgressView(Protocol):
    """A context manager that is called with each event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        ...


def progress_for(plan: Plan, due: Sequence[Cell], store: Store) -> ProgressView:
    """Return the live table for a terminal, and plain lines for everything else."""
    console = Console(stderr=True)
    if console.is_terminal:
        return LiveView(plan, due, store, console)
    return PlainView(plan, due)


class PlainView:
    """A line at the start, one for each cell that did not end well, and one every few seconds."""

    def __init__(self, plan: Plan, due: Sequence[Cell]) -> None:
        self._total = len(due)
        self._known = len(plan.cells) - len(due)
        self._done = 0
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._total:
            self._say(f"running {self._total} cells; {self._known} have a record already")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._total:
            word = "stopped" if kind is KeyboardInterrupt else "done"
            self._say(f"{word}: {self._done} of {self._total} cells in {self._seconds():.0f} s")

    def __call__(self, event: Event) -> None:
        """Count ends; say those that are not well, and where the run stands."""
        if not isinstance(event, CellFinished):
            return
        self._done += 1
        record = event.record
        if record.status == "interrupted":
            self._say(f"{record.cell.title}: interrupted")
        elif record.status != "ok":
            self._say(f"{record.cell.title}: {record.status}: {_cause(record)}")
        now = time.monotonic()
        if now - self._last > _SECONDS_BETWEEN_LINES:
            self._last = now
            left = self._seconds() / self._done * (self._total - self._done)
            self._say(
                f"{self._done} of {self._total} cells, {self._seconds():.0f} s, "
                f"about {left:.0f} s to go"
            )

    def _seconds(self) -> float:
        return time.monotonic() - self._start

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is where lines go


class LiveView:
    """A table of groups that fills as cells end, and a bar for the whole."""

    def __init__(self, plan: Plan, due: Sequence[Cell], store: Store, console: Console) -> None:
        self._total = len(due)
        self._groups = GroupTable(plan)
        self._running: dict[str, str] = {}
        waiting = {cell.cell_id for cell in due}
        for cell_id, record in store.scan().records.items():
            if cell_id not in waiting:
                self._groups.note(record)
        self._bar = Progress(
            TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        )
        self._task = self._bar.add_task("cells", total=self._total)
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self._total:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.clear()
        if self._total:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take an event into the table."""
        if isinstance(event, CellStarted):
            self._running[event.cell.cell_id] = "starting"
        elif isinstance(event, CellProgress):
            share = event.done / max(1, event.total)
            self._running[event.cell_id] = f"{event.stage} {share:.0%}"
        else:
            self._running.pop(event.record.cell_id, None)
            self._groups.note(event.record)
            self._bar.advance(self._task)

    def _render(self) -> Group:
        return Group(self._groups.render(self._running), self._bar)


def _cause(record: Record) -> str:
    return "" if record.error is None else f"{record.error.type}: {record.error.message}"
