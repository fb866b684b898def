"""What a run is doing now, for whoever watches it: a small file in the store, gone when it ends.

`.running-PID.json` begins with a dot, so no reader of the store looks at it. It is read with
distrust, and counts only while its process lives.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, Field

from sftbench.contracts.execution import CellFinished, CellProgress, CellStarted, Event
from sftbench.errors import RecordError
from sftbench.files import read_plain, validated

_NAME = re.compile(r"\.running-([1-9][0-9]{0,9})\.json")
_MAX_BYTES = 1 << 20
_MOST_FILES = 64
_SECONDS_BETWEEN = 1.0
_ELSEWHERE_SECONDS = 600.0


class RunningCell(BaseModel):
    """A cell that a worker has: its stage, and the share of the stage's steps that is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell_id: str
    stage: str = Field(max_length=200)
    share: float = Field(ge=0, le=1)


class Heartbeat(BaseModel):
    """What a run said last. Times are seconds since 1970; `total` cells were due at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    plan_id: str
    host: str = Field(max_length=300)
    pid: int = Field(ge=1)
    started: float = Field(ge=0)
    updated: float = Field(ge=0)
    done: int = Field(ge=0)
    total: int = Field(ge=0)
    running: tuple[RunningCell, ...] = Field((), max_length=4096)

    @property
    def seconds_left(self) -> float | None:
        """What the cells to come take at the pace so far; None before the first has ended."""
        if self.done == 0:
            return None
        return (self.updated - self.started) / self.done * max(0, self.total - self.done)


class Beat:
    """Takes the events of a run and keeps its file up to date, once a second at most."""

    def __init__(self, folder: Path, plan_id: str, total: int) -> None:
        self._path = folder / f".running-{os.getpid()}.json"
        self._plan_id, self._total, self._done = plan_id, total, 0
        self._running: dict[str, RunningCell] = {}
        self._started, self._last = time.time(), 0.0
        self._write()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, CellStarted):
            self._note(event.cell.cell_id, "starting", 0.0)
        elif isinstance(event, CellProgress):
            self._note(event.cell_id, event.stage, event.done / max(1, event.total))
        elif isinstance(event, CellFinished):
            self._running.pop(event.record.cell_id, None)
            self._done += 1
        if time.time() - self._last >= _SECONDS_BETWEEN:
            self._write()

    def close(self) -> None:
        """Take the file away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _note(self, cell_id: str, stage: str, share: float) -> None:
        share = min(1.0, max(0.0, share))
        self._running[cell_id] = RunningCell(cell_id=cell_id, stage=stage[:200], share=share)

    def _write(self) -> None:
        self._last = time.time()
        beat = Heartbeat(
            plan_id=self._plan_id,
            host=socket.gethostname()[:300],
            pid=os.getpid(),
            started=self._started,
            updated=self._last,
            done=self._done,
            total=self._total,
            running=tuple(self._running.values())[:4096],
        )
        new = self._path.with_suffix(".tmp")
        # Nobody's results depend on it: a full disk is said where a record cannot be written.
        with contextlib.suppress(OSError):
            new.write_bytes(beat.model_dump_json().encode())
            new.replace(self._path)


@contextmanager
def beating(folder: Path, plan_id: str, total: int) -> Iterator[Beat]:
    """Let others see a run for as long as it goes on."""
    for path in _files(folder):
        if _read(path) is None:
            with contextlib.suppress(OSError):
                path.unlink()  # of a run that was killed
    beat = Beat(folder, plan_id, total)
    try:
        yield beat
    finally:
        beat.close()


def heartbeats(folder: Path) -> list[Heartbeat]:
    """Return what the runs say that write into a store now, the latest first."""
    found = [beat for path in _files(folder) if (beat := _read(path)) is not None]
    return sorted(found, key=lambda beat: -beat.started)


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []
    return found[:_MOST_FILES]


def _read(path: Path) -> Heartbeat | None:
    """Return what a living run says in a file; None where it is none, or has ended."""
    match = _NAME.fullmatch(path.name)
    try:
        beat = validated(Heartbeat, read_plain(path, _MAX_BYTES))
    except RecordError:
        return None
    if match is None or int(match[1]) != beat.pid:
        return None
    if beat.host == socket.gethostname()[:300]:
        return beat if psutil.pid_exists(beat.pid) else None
    return beat if time.time() - beat.updated < _ELSEWHERE_SECONDS else None
