"""Progress on standard error: a live table on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sftbench.contracts.execution import CellFinished, CellProgress, CellStarted, Event
from sftbench.plan import Cell, Plan
from sftbench.records import Record
from sftbench.store import Store

_SECONDS_BETWEEN_LINES = 5.0
_MAX_ROWS = 24


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
        self._cells = {cell.cell_id: cell for cell in plan.cells}
        self._planned = Counter(cell.group for cell in plan.cells)
        self._names = {cell.group: cell for cell in plan.cells}
        self._values: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._ends: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self._running: dict[str, str] = {}
        waiting = {cell.cell_id for cell in due}
        for cell_id, record in store.scan().records.items():
            if cell_id in self._cells and cell_id not in waiting:
                self._note(record)
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
            self._note(event.record)
            self._bar.advance(self._task)

    def _note(self, record: Record) -> None:
        group = record.cell.group
        self._ends[group][record.status] += 1
        primary = record.primary
        value = record.value(primary.name) if primary else None
        if value is not None:
            self._values[group].append(value)

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("data", "strategy", "done", "test so far", "other ends", "now"):
            table.add_column(name, overflow="ellipsis", no_wrap=True)
        active: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for cell_id, text in self._running.items():
            cell = self._cells[cell_id]
            active[cell.group].append(f"seed {cell.seed}: {text}")
        groups = sorted(self._names, key=lambda group: (not active[group], group))
        for group in [group for group in self._names if group in groups[:_MAX_ROWS]]:
            cell = self._names[group]
            ends = self._ends[group]
            values = self._values[group]
            other = ", ".join(f"{n} {end}" for end, n in ends.items() if end != "ok")
            table.add_row(
                Text(f"{cell.dataset} / {cell.variant}"),
                Text(cell.strategy),
                f"{ends.total()}/{self._planned[group]}",
                f"{sum(values) / len(values):.3f}" if values else "",
                Text(other),
                Text("; ".join(active[group])),
            )
        return Group(table, self._bar)


def _cause(record: Record) -> str:
    return "" if record.error is None else f"{record.error.type}: {record.error.message}"
