"""Rows of one split that are computed once, when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Compute = Callable[[Tensor], Tensor]


class LazyRows:
    """A tensor [N, ...] whose rows are filled when they are first asked for.

    Args:
        num_rows: N.
        compute: Maps indices int64 [B] (CPU) to rows [B, ...]. It may be replaced by one that
            gives the same rows, and set to None to let go what it holds.
        batch: Most rows in one call.
        padded: Make every call one of exactly `batch` rows, the last index repeated: kernels
            are chosen by shape, so a row's bits then do not depend on who asked for what before.
    """

    def __init__(
        self, num_rows: int, compute: Compute | None, *, batch: int = 128, padded: bool = False
    ) -> None:
        self.num_rows = num_rows
        self.compute = compute
        self.num_computed = 0
        self._batch = batch
        self._padded = padded
        self._ready = torch.zeros(num_rows, dtype=torch.bool)
        self._rows: Tensor | None = None

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return rows [B, ...] of indices int64 [B] (CPU), on the device of `compute`."""
        if not bool(self._ready[indices].all()):
            missing = torch.unique(indices[~self._ready[indices]])
            for start in range(0, len(missing), self._batch):
                self._fill(missing[start : start + self._batch])
        if self._rows is None:
            raise IndexError("no rows asked for")
        return self._rows[indices.to(self._rows.device)]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor (0 before the first row)."""
        return 0 if self._rows is None else self._rows.nbytes

    def _fill(self, wanted: Tensor) -> None:
        if self.compute is None:
            raise RuntimeError("these rows were released; ask the store for them again")
        count = len(wanted)
        asked = wanted
        if self._padded and count < self._batch:
            asked = torch.cat([wanted, wanted[-1:].expand(self._batch - count)])
        rows = self.compute(asked)[:count]
        if self._rows is None:
            # Not initialised: the system hands out pages of it only as rows are written.
            self._rows = rows.new_empty((self.num_rows, *rows.shape[1:]))
        self._rows[wanted.to(rows.device)] = rows
        self._ready[wanted] = True
        self.num_computed += count
