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
        self._due: deque[Cell] = deque()
        self._threads = 1

    def run(self, cells: Sequence[Cell]) -> None:
        """Run every cell.

        Raises:
            KeyboardInterrupt: The user stopped; cells in flight have `interrupted` records.
            RequestError: The store is not writable.
            StorageError: The disk is full or fails.
        """
        self._due.extend(cells)
        count = min(num_workers(self._job), len(cells))
        self._threads = num_threads(self._job, count)
        try:
            for number in range(count):
                self._start(number, self._job.devices[number % len(self._job.devices)])
            while any(worker.cell is not None for worker in self._workers):
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
        worker, cell = message.worker, message.worker.cell
        if message.kind == "gone":
            self._replace(worker, "crashed", *worker.epitaph())
        elif cell is None:
            return
        elif message.kind == "started":
            worker.note_started()
            self._emit(CellStarted(cell, worker.number))
        elif message.kind == "progress":
            values = message.values
            self._emit(
                CellProgress(
                    cell.cell_id, values["stage"], values["done"], values["total"], values["values"]
                )
            )
        elif message.kind == "done":
            worker.note_done()
            if self._due:
                worker.take(self._due.popleft())
            self._emit(CellFinished(Record.model_validate(message.values["record"])))
        elif message.kind == "unsaved":
            why = message.values["why"]
            raise RequestError(why) if message.values["is_request"] else StorageError(why)

    def _replace(self, worker: WorkerProcess, status: Status, why: str, printed: str) -> None:
        """Give the worker's cell a record and go on with a new worker."""
        worker.kill()
        self._workers.remove(worker)
        worker.release()
        if worker.cell is not None:
            if worker.num_served and worker.started_at is None:
                # What ended the worker was left by an earlier cell: this one gets another.
                self._due.appendleft(worker.cell)
            else:
                self._bury(worker, Failure(type=status, message=why, traceback=printed), status)
        self._start(worker.number, worker.device)

    def _bury(self, worker: WorkerProcess, error: Failure, status: Status) -> None:
        """See to it that the cell of a dead worker has a record."""
        cell, worker.cell = worker.cell, None
        if cell is None:
            return
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
            with contextlib.suppress(RequestError, StorageError):
                self._bury(worker, Failure(type="interrupted", message=why), "interrupted")


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
