"""Rows of one frozen prefix: those asked for in memory, read from the disk or computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftbench.data.row_files import RowFile, RowForm
from sftbench.engine.feature_disk import FeatureDisk, Kept

Run = Callable[[Tensor, int], Tensor]
Session = Callable[[], AbstractContextManager[Run]]

_READ_BYTES = 64 << 20
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows on their way to the disk: uint8 [n, row bytes] once `ready` has happened."""

    indices: _Ints
    rows: Tensor
    ready: torch.cuda.Event | None  # None: at once


class FeatureRows:
    """A tensor [N, ...] of which those rows are held that were asked for.

    Rows are computed in calls of one shape, the last index repeated: kernels are chosen by shape,
    so a row's bits do not depend on who asked for what before.

    Args:
        form: What a row is.
        device: Where they are held.
        batch: Rows in one call.
        disk: Where rows are looked for and kept, under `kept`; None: nowhere.
        kept: Which entry.

    Attributes:
        session: Opens what computes rows; None: let go.
        num_computed: How many were computed here.
    """

    def __init__(
        self,
        form: RowForm,
        device: torch.device,
        batch: int,
        *,
        disk: FeatureDisk | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.form = form
        self.session: Session | None = None
        self.num_computed = 0
        self._device = device
        self._batch = batch
        self._disk = disk
        self._kept = kept
        self._slots = torch.full((form.num_rows,), -1, dtype=torch.int64)
        self._num = 0
        self._rows = torch.empty((0, *form.shape), dtype=getattr(torch, form.dtype), device=device)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return rows [B, ...] of indices int64 [B] (CPU), on the device."""
        slots = self._slots[indices]
        if bool((slots < 0).any()):
            self.bring(indices)
            slots = self._slots[indices]
        return self._rows[slots.to(self._device, non_blocking=True)]

    def emptied(self) -> FeatureRows:
        """Return the same without any row held; those on the disk are found there."""
        return FeatureRows(self.form, self._device, self._batch, disk=self._disk, kept=self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows held."""
        return self._rows.nbytes

    def num_with(self, indices: Tensor) -> int:
        """Return how many rows there would be with those of indices int64 [B] (CPU)."""
        return self._num + len(self._missing(indices))

    def bring(self, indices: Tensor) -> None:
        """See to it that the rows of indices int64 [B] (CPU) are held.

        Raises:
            RuntimeError: One is missing, and what computes them was let go.
        """
        missing = self._missing(indices)
        if len(missing) == 0:
            return
        if self.session is None:
            raise RuntimeError("these rows were released; ask the store for them again")
        self._reserve(len(missing))
        if self._disk is not None and self._kept is not None:
            with self._disk.open(self._kept, self.form, len(missing)) as file:
                if file is not None:
                    self._share(file, missing)
            missing = self._missing(indices)
        if len(missing):
            with self._opened() as run:
                for start in range(0, len(missing), self._batch):
                    self._compute(run, missing[start : start + self._batch])

    def _missing(self, indices: Tensor) -> _Ints:
        missing: _Ints = torch.unique(indices[self._slots[indices] < 0]).numpy()
        return missing

    def _reserve(self, count: int) -> None:
        """Make room for `count` further rows."""
        needed = self._num + count
        if needed > len(self._rows):
            # Not initialised: the system hands out pages of it only as rows are written.
            larger = self._rows.new_empty((needed, *self.form.shape))
            larger[: self._num] = self._rows[: self._num]
            self._rows = larger

    def _hold(self, indices: _Ints, rows: Tensor) -> None:
        """Keep rows [n, ...] of indices int64 [n] that are not held yet."""
        stop = self._num + len(indices)
        self._rows[self._num : stop].copy_(rows, non_blocking=True)
        self._slots[torch.from_numpy(indices)] = torch.arange(self._num, stop)
        self._num = stop

    def _read(self, file: RowFile, indices: _Ints) -> _Ints:
        """Take what is on the disk; return the rest."""
        step = max(1, _READ_BYTES // self.form.row_bytes)
        left = [indices[:0]]
        for start in range(0, len(indices), step):
            part = indices[start : start + step]
            into = torch.empty((len(part), self.form.row_bytes), dtype=torch.uint8)
            found = file.read(part, into.numpy())
            if found.any():
                rows = into if found.all() else into[torch.from_numpy(found)]
                typed = rows.view(self._rows.dtype).view(-1, *self.form.shape)
                self._hold(part[found], typed)
            left.append(part[~found])
        return np.concatenate(left)

    def _portions(self, file: RowFile, left: _Ints, flush: Callable[[], None]) -> Iterator[_Ints]:
        """Yield the rows that this process computes; others' are waited for and read.

        Args:
            file: Where rows are shared.
            left: int64 [n], ascending, not held yet.
            flush: Writes what was yielded before: who waits must keep nobody waiting.
        """
        others: list[_Ints] = []
        while len(left):
            mine, taken, left = file.claim(left, self._batch)
            others.append(taken)
            todo = self._read(file, mine)  # another process may have been quicker
            file.release(np.setdiff1d(mine, todo, assume_unique=True))
            if len(todo):
                yield todo
            if len(left) == 0:
                left, others = np.concatenate(others), []
                if len(left):
                    flush()
                    file.wait(left)
                    left = self._read(file, left)

    def _share(self, file: RowFile, indices: _Ints) -> None:
        """Read rows from the disk; compute the others and write them there."""
        left = self._read(file, indices)
        if len(left) == 0 or not file.is_writable:
            return
        waiting: list[_Batch] = []

        def flush() -> None:
            for batch in waiting:
                if batch.ready is not None:
                    batch.ready.synchronize()
                file.write(batch.indices, batch.rows.numpy())
                file.release(batch.indices)
            waiting.clear()

        with self._opened() as run:
            for mine in self._portions(file, left, flush):
                rows = self._compute(run, mine)
                flush()  # the batch before, while the device computes this one
                waiting.append(_on_host(mine, rows))
                if self._device.type == "cpu":
                    flush()
            flush()

    def _compute(self, run: Run, indices: _Ints) -> Tensor:
        """Compute and hold rows of at most a batch of indices."""
        asked = torch.from_numpy(indices)
        if len(indices) < self._batch:
            asked = torch.cat([asked, asked[-1:].expand(self._batch - len(indices))])
        rows = run(asked, len(indices))
        self._hold(indices, rows)
        self.num_computed += len(indices)
        return rows

    def _opened(self) -> AbstractContextManager[Run]:
        if self.session is None:
            raise RuntimeError("these rows were released; ask the store for them again")
        return self.session()


def _on_host(indices: _Ints, rows: Tensor) -> _Batch:
    """Begin to bring rows [n, ...] from the device, as bytes."""
    flat = rows.detach().contiguous().reshape(len(rows), -1).view(torch.uint8)
    if flat.device.type != "cuda":
        return _Batch(indices, flat.cpu(), None)
    host = torch.empty(flat.shape, dtype=torch.uint8, pin_memory=True)
    host.copy_(flat, non_blocking=True)
    ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
    ready.record()
    return _Batch(indices, host, ready)
