"""Writers of a store that run in processes of their own, some of them until they are killed."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import FrameType
from typing import Any

from support.records import make_cell, make_outputs, make_record

from sftbench import attempts, files
from sftbench.store import Store


def write_attempts(out: Path, count: int, seed: int, start: Barrier, numbers: Queue[int]) -> None:
    """Write `count` attempts of one cell, each at the moment when the others write theirs."""
    store, outputs = Store(out), make_outputs(seed=seed)
    for _ in range(count):
        start.wait(timeout=60)
        numbers.put(store.write(make_record(), outputs).attempt)


def write_forever(out: Path, seed: int) -> None:
    """Write attempts of three cells, and say each on standard output once it is written."""
    store, outputs = Store(out), make_outputs(rows=200, seed=seed)
    while True:
        for cell in (make_cell(seed=number) for number in range(3)):
            record = store.write(make_record(cell), outputs)
            os.write(1, f"{record.cell_id} {record.attempt} {record.checksum}\n".encode())


def kill_writers(out: Path, rounds: int) -> None:
    """Start a writer, kill it at a moment by chance, and again."""
    rng = random.Random(0)
    for number in range(rounds):
        child = os.fork()
        if child == 0:
            write_forever(out, number)
        time.sleep(rng.uniform(0.02, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def kill_at_every_line(out: Path) -> None:
    """Write an attempt and be killed at line N of what the store runs, in a store OUT/N each.

    Says which N was too late to kill it, and how it ended then.
    """
    for line in range(1, 1000):
        child = os.fork()
        if child == 0:
            _die_at(line)
            Store(out / str(line)).write(make_record(), make_outputs())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stdout.write(f"{line} {os.WEXITSTATUS(status)}\n")
            return


def _die_at(number: int) -> None:
    modules = {attempts.__file__, files.__file__}
    left = number

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal left
        if frame.f_code.co_filename not in modules:
            return None
        left -= event == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    # One write imports what a write needs, so that a writer is killed while it writes.
    Store(folder / "0").write(make_record(), make_outputs())
    if sys.argv[1] == "by-chance":
        kill_writers(folder, rounds=15)
    else:
        kill_at_every_line(folder)
