"""Cells one after another, in this process: for debugging, notebooks and profilers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sftbench.api import (
    Cell,
    CellFinished,
    CellProgress,
    CellStarted,
    Event,
    Executor,
    Job,
    Record,
    RequestError,
)

if TYPE_CHECKING:
    from sftbench.store import Store


class Inline(Executor):
    """Run cells here. A crash or a hang of a cell is one of this process: there is no timeout."""

    name = "inline"
    summary = "in this process, one after another"

    def run(self, cells: Sequence[Cell], job: Job, emit: Callable[[Event], None]) -> None:
        """Run every cell in order.

        Raises:
            RequestError: The job has a timeout or several workers, which need processes, or the
                store is not writable.
            StorageError: The disk is full or fails.
        """
        if job.timeout is not None or (job.jobs or 1) > 1:
            raise RequestError("executor 'inline' has no --timeout and one job; use 'local'")
        from sftbench.engine.runtime import settings_restored
        from sftbench.executors.saving import save
        from sftbench.executors.units import work_units
        from sftbench.store import Store
        from sftbench.unit import run_unit
        from sftbench.warm import Warm

        threads = 1 if job.deterministic else None
        with settings_restored(), contextlib.closing(Warm(job, threads=threads)) as warm:
            store = Store(job.out)
            for unit in work_units(cells, warm.catalog, deterministic=job.deterministic):
                teller = _Teller(emit)
                try:
                    for record, kept in run_unit(unit, warm, teller.begin):
                        teller.finish(save(store, record, kept, warm.catalog))
                except KeyboardInterrupt:
                    teller.note_interrupted(store)
                    raise


class _Teller:
    """Tells how far cells are; a listener's mistake is not the cell's, and waits for its end."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self.error: Exception | None = None
        self._emit = emit
        self._running: dict[str, Cell] = {}
        self._started = ""

    def begin(self, cells: Sequence[Cell]) -> Callable[[str, int, int, Mapping[str, float]], None]:
        """Tell which cells begin together; return who tells how far they are."""
        from sftbench.records import now

        self._running = {cell.cell_id: cell for cell in cells}
        self._started = now()
        for cell in cells:
            self._try(CellStarted(cell, worker=0))
        return self._progress

    def finish(self, record: Record) -> None:
        """Tell of a record."""
        self._running.pop(record.cell_id, None)
        self._emit(CellFinished(record))
        if self.error is not None:
            raise self.error

    def note_interrupted(self, store: Store) -> None:
        """Write the records of the cells that were stopped."""
        from sftbench.errors import StorageError
        from sftbench.executors.saving import save
        from sftbench.records import Failure, ended

        error = Failure(type="interrupted", message="stopped by the user")
        for cell in self._running.values():
            with contextlib.suppress(RequestError, StorageError):  # a full disk
                stopped = ended(cell, "interrupted", error, self._started)
                self._emit(CellFinished(save(store, stopped, None)))

    def _progress(self, stage: str, done: int, total: int, values: Mapping[str, float]) -> None:
        for cell_id in self._running:
            self._try(CellProgress(cell_id, stage, done, total, values))

    def _try(self, event: Event) -> None:
        if self.error is None:
            try:
                self._emit(event)
            except Exception as error:  # noqa: BLE001 - raised again after the cell
                self.error = error
