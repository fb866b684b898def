"""Cells one after another, in this process: for debugging, notebooks and profilers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from sftbench.api import (
    Cell,
    CellFinished,
    CellProgress,
    CellStarted,
    Event,
    Executor,
    Job,
    RequestError,
)


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
        from sftbench.cell import run_cell_safely
        from sftbench.engine.runtime import settings_restored
        from sftbench.errors import StorageError
        from sftbench.executors.saving import save
        from sftbench.records import Failure, ended, now
        from sftbench.store import Store
        from sftbench.warm import Warm

        threads = 1 if job.deterministic else None
        with settings_restored(), contextlib.closing(Warm(job, threads=threads)) as warm:
            store = Store(job.out)
            for cell in cells:
                emit(CellStarted(cell, worker=0))
                started = now()
                teller = _Teller(cell.cell_id, emit)
                try:
                    record, kept = run_cell_safely(cell, warm, teller)
                except KeyboardInterrupt:
                    error = Failure(type="interrupted", message="stopped by the user")
                    stopped = ended(cell, "interrupted", error, started)
                    with contextlib.suppress(RequestError, StorageError):  # a full disk
                        emit(CellFinished(save(store, stopped, None)))
                    raise
                emit(CellFinished(save(store, record, kept)))
                if teller.error is not None:
                    raise teller.error


class _Teller:
    """Tells how far a cell is; a listener's mistake is not the cell's, and waits for its end."""

    def __init__(self, cell_id: str, emit: Callable[[Event], None]) -> None:
        self.error: Exception | None = None
        self._cell_id = cell_id
        self._emit = emit

    def __call__(self, stage: str, done: int, total: int, values: Mapping[str, float]) -> None:
        if self.error is None:
            try:
                self._emit(CellProgress(self._cell_id, stage, done, total, values))
            except Exception as error:  # noqa: BLE001 - raised again after the cell
                self.error = error
