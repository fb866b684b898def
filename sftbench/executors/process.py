"""One worker process, seen from the parent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from sftbench.contracts.execution import Job
from sftbench.executors.messages import decode, encode, job_to_dict
from sftbench.plan import Cell
from sftbench.records import now

# The worker imports from where this process does; `sys` alone is found without looking there.
_BOOT = (
    "import sys; life, *sys.path = sys.argv[1:]; del sys.argv[1:]; "
    "from sftbench.executors.worker import main; main(int(life))"
)
_LOG_TAIL = 8_000
_END_SECONDS = 2.0
_DUMP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Message:
    """Something a worker said, or its end (`kind` = `gone`, perhaps more than once)."""

    worker: WorkerProcess
    kind: str
    values: dict[str, Any]


class WorkerProcess:
    """A worker that runs one work unit at a time and stays warm between them.

    Making it starts nothing, so that whoever holds it can end whatever `start` got done.

    Args:
        number: For people.
        job: How cells run.
        device: The worker's device.
        threads: Its CPU threads.
        inbox: Where its messages go.

    Attributes:
        unit: The cells in hand that have no record yet.
        running: Those of them that the worker said it is at.
        taken_at: When the unit was handed over.
        started_at: When it began with `running`; None where there is none.
        num_served: Cells it is done with.
    """

    def __init__(
        self, number: int, job: Job, device: str, threads: int, inbox: queue.Queue[Message]
    ) -> None:
        self.number = number
        self.device = device
        self.unit: list[Cell] = []
        self.running: list[Cell] = []
        self.taken_at = ""
        self.started_at: str | None = None
        self.num_served = 0
        self._deadline: float | None = None
        self._timeout = job.timeout
        self._hello = {"job": job_to_dict(job, device), "threads": threads}
        self._inbox = inbox
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._life: int | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        # It is emptied between cells while the worker has it open: then only appending is right.
        flags = fcntl.fcntl(self._log, fcntl.F_GETFL)
        fcntl.fcntl(self._log, fcntl.F_SETFL, flags | os.O_APPEND)

    def start(self) -> None:
        """Start the process."""
        life, self._life = os.pipe()
        try:
            paths = [path for path in sys.path if isinstance(path, str)]
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
                [sys.executable, "-c", _BOOT, str(life), *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, "OMP_NUM_THREADS": str(self._hello["threads"])},
                pass_fds=(life,),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which decides
            )
        finally:
            os.close(life)
        self._send(self._hello)
        listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        listener.start()
        threading.Thread(target=self._watch, args=(self._process, listener), daemon=True).start()

    def take(self, unit: Sequence[Cell]) -> None:
        """Hand over cells; their time counts from when the worker starts on them.

        A warm worker has that long to start on them, too: what an earlier cell left running may
        keep it from doing so. A new one may need any time for its imports.
        """
        self.unit, self.running = list(unit), []
        self.taken_at = now()
        self.started_at = None
        self._log.truncate(0)
        self._set_deadline(len(unit) if self.num_served else None)
        self._send({"cells": [cell.model_dump(mode="json") for cell in unit]})

    def note_started(self, cell_ids: Collection[str]) -> None:
        """Start the clock of cells; those that run together have the time of all of them."""
        self.running = [cell for cell in self.unit if cell.cell_id in cell_ids]
        self.started_at = now()
        self._set_deadline(len(self.running))

    def note_done(self, cell_id: str) -> None:
        """Have one cell less in hand."""
        self.unit = [cell for cell in self.unit if cell.cell_id != cell_id]
        self.running = [cell for cell in self.running if cell.cell_id != cell_id]
        self.num_served += 1
        if not self.running:
            self.started_at = None
            self._set_deadline(len(self.unit) or None)

    @property
    def is_late(self) -> bool:
        """Whether the cells in hand have used up their time."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def dump(self) -> str:
        """Have the process say where each of its threads is; return the end of what it printed."""
        size = self._log_size()
        if self._process is not None and not self._ended.is_set():
            # faulthandler answers in a signal handler, even while C code holds the interpreter.
            os.kill(self._process.pid, signal.SIGUSR1)
        end = time.monotonic() + _DUMP_SECONDS
        while time.monotonic() < end:
            before = self._log_size()
            time.sleep(0.05)
            if size < before == self._log_size():
                break
        return self._tail()

    def epitaph(self) -> tuple[str, str]:
        """Return why the process ended, in a line, and the end of what it printed."""
        self._ended.wait(_END_SECONDS)
        code = None if self._process is None else self._process.returncode
        if code is None:
            return "the worker closed its connection", self._tail()
        if code >= 0:
            return f"the worker ended with exit code {code}", self._tail()
        try:
            why = f"the worker was killed by {signal.Signals(-code).name}"
        except ValueError:
            why = f"the worker was killed by signal {-code}"
        if -code == signal.SIGKILL:
            why += " (often the system's answer to memory running out)"
        return why, self._tail()

    def kill(self) -> None:
        """End the process and everything it started; `release` waits until it is gone."""
        process = self._process
        if process is None or self._ended.is_set():
            return
        strays: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            strays = psutil.Process(process.pid).children(recursive=True)
        _kill_group(process.pid)
        for stray in strays:  # those with a session of their own
            with contextlib.suppress(psutil.Error):
                stray.kill()

    def hang_up(self) -> None:
        """Let go of the process: it ends by itself, at once."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._life is not None:
            life, self._life = self._life, None
            os.close(life)

    def release(self) -> None:
        """Wait until the process is gone, and let go of what it held."""
        self.hang_up()
        if self._process is not None and not self._ended.wait(_END_SECONDS):
            self.kill()
            self._ended.wait(_END_SECONDS)  # else it is in the system's hands
        self._log.close()

    def _set_deadline(self, num_cells: int | None) -> None:
        if num_cells is None or self._timeout is None:
            self._deadline = None
        else:
            self._deadline = time.monotonic() + num_cells * self._timeout

    def _log_size(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    def _tail(self) -> str:
        start = max(0, self._log_size() - _LOG_TAIL)
        return os.pread(self._log.fileno(), _LOG_TAIL, start).decode(errors="replace")

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone; the listener says so
                self._process.stdin.write(encode(message))
                self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        with process.stdout as lines:
            for line in lines:
                # A line may be cut off by the end of the process.
                with contextlib.suppress(ValueError, TypeError):
                    message = decode(line)
                    self._inbox.put(Message(self, str(message.get("kind")), message))
        self._inbox.put(Message(self, "gone", {}))

    def _watch(self, process: subprocess.Popen[bytes], listener: threading.Thread) -> None:
        """Wait for the end of the process, and end what it leaves behind."""
        # Not reaped yet, its number is nobody else's. (macOS has this since Python 3.13.)
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            process.wait()
        _kill_group(process.pid)
        process.wait()
        self._ended.set()
        # Something in a session of its own may still hold the pipe open.
        listener.join(_END_SECONDS)
        self._inbox.put(Message(self, "gone", {}))


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
