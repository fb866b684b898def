"""Batches that are read before they are asked for, by other processes or by a thread."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sftbench.data.stored import StoredImages
from sftbench.errors import RequestError
from sftbench.names import shown

READERS = "SFTBENCH_READERS"
"""Environment variable: how many processes read what is streamed; 0: a thread."""
_NUMBER = re.compile(r"[0-9]{1,2}")
_AHEAD = 3  # batches of a thread; two for each process
_MOST_PROCESSES = 8
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - no file is made there by name


class Prefetch:
    """Reads the batches of a plan in their order, ahead of who takes them.

    Processes stay for the next plan, until another `Prefetch` starts: a machine has one set of
    cores, and one stage runs at a time.

    Args:
        images: What is read.
        device: Where batches go.
        processes: How many read; 0: a thread of this process; None: chosen for the cores.
    """

    def __init__(
        self, images: StoredImages, device: torch.device, processes: int | None = None
    ) -> None:
        self._images = images
        self._device = device
        self._processes = processes
        # From such memory an accelerator copies while it computes.
        self._pinned = device.type == "cuda"
        self._plan: Sequence[Tensor] = ()
        self._position = 0
        self._loader: DataLoader[Tensor] | None = None
        self._order = _Order()
        self._thread: _Thread | None = None
        self._batches: Iterator[Tensor] | None = None

    def start(self, plan: Sequence[Tensor]) -> None:
        """Begin to read the batches of a plan, int64 [B] (CPU) each; an earlier plan is over."""
        self._plan, self._position = plan, 0
        _end_others(self)
        if self._processes is None:
            self._processes = num_processes(self._images, max(map(len, plan)), self._device)
        num = self._processes if self._images.can_be_sent else 0
        if self._loader is not None and not _is_whole(self._loader):
            self._loader = None  # it would fail this plan for what ended the one before
        self._batches = self._read_by_processes(num) if num else self._read_by_thread()

    def take(self, indices: Tensor) -> Tensor | None:
        """Return the images of the plan's next batch; None where `indices` is another one."""
        if self._batches is None or self._position == len(self._plan):
            return None
        if not torch.equal(self._plan[self._position], indices):
            return None
        self._position += 1
        return next(self._batches)

    def close(self) -> None:
        """End whoever reads."""
        if self._thread is not None:
            self._thread.close()
        self._plan, self._batches, self._thread = (), None, None
        self._loader = None  # the last of its names: its processes end here

    def _read_by_processes(self, num: int) -> Iterator[Tensor]:
        self._order.batches = [batch.tolist() for batch in self._plan]
        if self._loader is None:
            self._images.share()
            self._loader = DataLoader(
                self._images,
                batch_sampler=self._order,
                num_workers=num,
                collate_fn=_as_read,
                pin_memory=self._pinned,
                multiprocessing_context="spawn",
                persistent_workers=True,
                generator=torch.Generator(),  # not the one whose draws are the cell's
            )
        with _main_module_hidden():
            return iter(self._loader)

    def _read_by_thread(self) -> Iterator[Tensor]:
        if self._thread is not None:
            self._thread.close()
        self._thread = _Thread(self._images, self._plan, pinned=self._pinned)
        return self._thread


_latest: weakref.ref[Prefetch] | None = None


def _end_others(one: Prefetch) -> None:
    """Have nobody read but this one."""
    global _latest  # noqa: PLW0603 - of the whole process, as its cores are
    other = None if _latest is None else _latest()
    if other is not None and other is not one:
        other.close()
    _latest = weakref.ref(one)


def _is_whole(loader: DataLoader[Tensor]) -> bool:
    """Tell whether all of a loader's processes live; torch tells of a death by a signal alone."""
    workers = getattr(loader._iterator, "_workers", [])  # noqa: SLF001 - no other way leads there
    return all(worker.is_alive() for worker in workers)


class _Order:
    """The batches of the plan that runs, as the loader's sampler."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Thread(Iterator[Tensor]):
    """Reads batches in one thread, a few ahead."""

    def __init__(self, images: StoredImages, plan: Sequence[Tensor], *, pinned: bool) -> None:
        self._images = images
        self._left = iter(plan)
        self._pinned = pinned
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sftbench-reader")
        self._waiting: deque[Future[Tensor]] = deque()
        for _ in range(_AHEAD):
            self._submit()

    def __next__(self) -> Tensor:
        found = self._waiting.popleft().result()
        self._submit()
        return found

    def close(self) -> None:
        """Read nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self) -> None:
        batch = next(self._left, None)
        if batch is not None:
            self._waiting.append(self._pool.submit(self._read, batch))

    def _read(self, batch: Tensor) -> Tensor:
        found = self._images.read(batch)
        return found.pin_memory() if self._pinned else found


def num_processes(images: StoredImages, batch_size: int, device: torch.device) -> int:
    """Return how many processes read: what `SFTBENCH_READERS` says, else by the share of the cores.

    Args:
        images: What is read.
        batch_size: The largest.
        device: An accelerator leaves its cores to reading; a processor needs nearly all itself.

    Raises:
        RequestError: The variable is no such number.
    """
    named = os.environ.get(READERS)
    if named:
        if not _NUMBER.fullmatch(named):
            raise RequestError(f"{READERS} is {shown(named)}; it is a number from 0 to 99")
        return int(named)
    threads = torch.get_num_threads()
    wanted = threads // 8 if device.type == "cpu" else threads - 1
    wanted = max(0, min(_MOST_PROCESSES, wanted))
    # Batches come by way of shared memory, which may be small: a container often has 64 MiB.
    room = images.shared_bytes + 4 * wanted * batch_size * images.image_bytes
    with contextlib.suppress(OSError):
        if wanted and shutil.disk_usage(_SHARED_MEMORY).free < room:
            return 0
    return wanted


def _as_read(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Start processes that import what they need, and not the script that started this one.

    A person's script needs no `if __name__ == "__main__"` that way.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
