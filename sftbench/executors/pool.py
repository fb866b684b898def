"""Cells dealt over warm workers; whatever becomes of a worker, its cell gets a record."""

from __future__ import annotations

import contextlib
import os
import queue
from collections import deque
from collections.abc import Callable, Sequence

from sftbench.contracts.execution import CellFinished, CellProgress, CellStarted, Event, Job
from sftbench.errors import RequestError, StorageError
from sftbench.executors.process import Message, WorkerProcess
from sftbench.executors.saving import storing
from sftbench.names import cause
from sftbench.plan import Cell
from sftbench.records import Failure, Record, Status, ended
from sftbench.store import Store

_MAX_CPU_WORKERS = 4
_TICK_SECONDS = 0.2


class Pool:
    """Runs cells on workers of one job.

    Args:
        job: Devices, workers, timeout, store.
        emit: Is told what happens.
    """

    def __init__(self, job: Job, emit: Callable[[Event], None]) -> None:
        self._job = job
        self._emit = emit
        self._store = Store(job.out)
        self._inbox: queue.Queue[Message] = queue.Queue()
        self._workers: list[WorkerProcess] = []
        self._due: deque[Sequence[Cell]] = deque()
        self._threads = 1

    def run(self, units: Sequence[Sequence[Cell]]) -> None:
        """Run every cell of every work unit.

        Raises:
            KeyboardInterrupt: The user stopped; cells in flight have `interrupted` records.
            RequestError: The store is not writable.
            StorageError: The disk is full or fails.
        """
        self._due.extend(units)
        count = min(num_workers(self._job), len(units))
        self._threads = num_threads(self._job, count)
        try:
            for number in range(count):
                self._start(number, self._job.devices[number % len(self._job.devices)])
            while any(worker.unit for worker in self._workers):
                self._turn()
        except BaseException as error:
            self._stop(error)
            raise
        finally:
            # All are told before the first is waited for.
            for worker in self._workers:
                worker.hang_up()
            for worker in self._workers:
                worker.release()

    def _start(self, number: int, device: str) -> None:
        if not self._due:
            return
        worker = WorkerProcess(number, self._job, device, self._threads, self._inbox)
        self._workers.append(worker)
        worker.start()
        worker.take(self._due.popleft())

    def _turn(self) -> None:
        """Hear one message, or find out who is late."""
        try:
            message = self._inbox.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            message = None
        if message is not None and message.worker in self._workers:
            self._hear(message)
        for worker in [worker for worker in self._workers if worker.is_late]:
            why = f"over the limit of {self._job.timeout:g} seconds"
            self._replace(worker, "timed_out", why, worker.dump())

    def _hear(self, message: Message) -> None:
        worker, values = message.worker, message.values
        if message.kind == "gone":
            self._replace(worker, "crashed", *worker.epitaph())
        elif message.kind == "started":
            worker.note_started(values["cell_ids"])
            for cell in worker.running:
                self._emit(CellStarted(cell, worker.number))
        elif message.kind == "progress":
            for cell_id in values["cell_ids"]:
                self._emit(
                    CellProgress(
                        cell_id, values["stage"], values["done"], values["total"], values["values"]
                    )
                )
        elif message.kind == "done":
            record = Record.model_validate(values["record"])
            worker.note_done(record.cell_id)
            if self._due and not worker.unit:
                worker.take(self._due.popleft())
            self._emit(CellFinished(record))
        elif message.kind == "unsaved":
            raise (
                RequestError(values["why"]) if values["is_request"] else StorageError(values["why"])
            )

    def _replace(self, worker: WorkerProcess, status: Status, why: str, printed: str) -> None:
        """Give the cell that a worker was at a record and go on with a new worker.

        Of cells that ran together none is known to be at fault: each runs again, alone.
        """
        worker.kill()
        self._workers.remove(worker)
        worker.release()
        unit, running = worker.unit, worker.running
        if unit and worker.num_served and not running:
            # What ended the worker was left by an earlier cell: these get another.
            self._due.appendleft(unit)
        else:
            if unit and len(running) < 2:
                error = Failure(type=status, message=why, traceback=printed)
                self._bury(worker, (running or unit)[0], error, status)
                unit = [cell for cell in unit if cell not in (running or unit)[:1]]
            self._due.extendleft([cell] for cell in reversed(unit))
        self._start(worker.number, worker.device)
        for idle in [one for one in self._workers if not one.unit]:
            if self._due:
                idle.take(self._due.popleft())

    def _bury(self, worker: WorkerProcess, cell: Cell, error: Failure, status: Status) -> None:
        """See to it that a cell of a dead worker has a record."""
        # It may have written its record with its last breath; a finished cell stays finished.
        record = self._store.latest(cell.cell_id)
        if record is None or record.started_at < worker.taken_at:
            draft = ended(cell, status, error, worker.started_at or worker.taken_at)
            with storing(self._store):
                record = self._store.write(draft, None)
        self._emit(CellFinished(record))

    def _stop(self, error: BaseException) -> None:
        """End every worker, then note what they were at."""
        for worker in self._workers:
            worker.kill()
        why = "stopped by the user"
        if not isinstance(error, KeyboardInterrupt):
            why = f"the run stopped: {cause(error)}"
        for worker in self._workers:
            worker.release()
            # On a full disk a cell without a record is due as one that was interrupted is.
            for cell in worker.running or worker.unit[:1]:
                with contextlib.suppress(RequestError, StorageError):
                    error_of = Failure(type="interrupted", message=why)
                    self._bury(worker, cell, error_of, "interrupted")


def num_workers(job: Job) -> int:
    """Return how many workers a job has: as named, else one for each accelerator.

    On a CPU it is one for each core, up to four: small models use two single threads better than
    two threads of one process.
    """
    if job.jobs is not None:
        return job.jobs
    if job.device == "cpu":
        return min(available_cores(), _MAX_CPU_WORKERS)
    return len(job.devices)


def num_threads(job: Job, num_workers: int) -> int:
    """Return the CPU threads of one worker: its share of the cores.

    Where the same bits are wanted it is one: sums depend on how many threads share them, and how
    many workers there are depends on how many cells are due.
    """
    return 1 if job.deterministic else max(1, available_cores() // max(1, num_workers))


def available_cores() -> int:
    """Return the cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
