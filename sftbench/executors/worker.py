"""A worker process: takes cells on standard input, writes records, tells what happens.

It ends when its input does, so it cannot outlive the process that started it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NoReturn


def main(life: int) -> None:
    """Serve cells until the input ends.

    Args:
        life: Descriptor of a pipe whose other end the parent alone holds.
    """
    guard = _start_guard(life)
    inbox, outbox = _take_streams()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(inbox, lines, guard), daemon=True).start()

    from sftbench.engine.workspace import Progress
    from sftbench.errors import RequestError, StorageError
    from sftbench.executors.messages import decode, encode, job_from_dict
    from sftbench.executors.saving import save
    from sftbench.plan import Cell
    from sftbench.store import Store
    from sftbench.unit import run_unit
    from sftbench.warm import Warm

    hello = decode(lines.get())
    job = job_from_dict(hello["job"])
    store, warm = Store(job.out), Warm(job, threads=hello["threads"])

    def say(kind: str, **values: object) -> None:
        try:
            outbox.write(encode({"kind": kind, **values}))
            outbox.flush()
        except OSError:
            # The parent is gone. Raised within a cell, this would look like the cell's failure.
            _end(guard)

    def told(cells: Sequence[Cell]) -> Progress:
        ids = [cell.cell_id for cell in cells]
        say("started", cell_ids=ids)

        def progress(stage: str, done: int, total: int, values: Mapping[str, float]) -> None:
            say("progress", cell_ids=ids, stage=stage, done=done, total=total, values=dict(values))

        return progress

    while True:
        unit = [Cell.model_validate(cell) for cell in decode(lines.get())["cells"]]
        for record, kept in run_unit(unit, warm, told):
            try:
                written = save(store, record, kept, warm.catalog)
            except (RequestError, StorageError) as error:
                # It says nothing about the cell, which stays due; the parent ends the run.
                say("unsaved", why=str(error), is_request=isinstance(error, RequestError))
                break
            say("done", record=written.model_dump(mode="json"))
            if not warm.is_usable:
                _end(guard)  # another worker takes what is left


def _start_guard(life: int) -> int:
    """Fork a process that ends the worker's process group once the parent is gone.

    A worker that hangs in C code cannot do that itself, nor end what a plugin started.
    """
    guard = os.fork()
    if guard:
        os.close(life)
        return guard
    try:
        # The parent waits for the end of these, and this is not the worker.
        os.closerange(0, 3)
        os.read(life, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)
    finally:
        os._exit(0)


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for messages; what a plugin prints goes to the log, what it reads is empty."""
    inbox = os.fdopen(os.dup(0), "rb")
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as empty:  # noqa: PTH123 - its descriptor is wanted
        os.dup2(empty.fileno(), 0)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What was printed must be in the log when the process is killed.
        sys.stdout.reconfigure(line_buffering=True)
    return inbox, outbox


def _read(inbox: BinaryIO, lines: queue.Queue[bytes], guard: int) -> None:
    for line in inbox:
        lines.put(line)
    # The parent closed the pipe or is gone: stop at once, in the middle of a cell too.
    _end(guard)


def _end(guard: int) -> NoReturn:
    """End this process and all of its group."""
    with contextlib.suppress(OSError):  # another thread does the same
        os.kill(guard, signal.SIGKILL)
        os.waitpid(guard, 0)
    os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)
