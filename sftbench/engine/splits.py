"""The examples of a cell: official splits on the device, and who belongs to which part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sftbench.contracts.dataset import DatasetInfo
from sftbench.contracts.task import BatchSource


@dataclass(frozen=True, slots=True)
class SplitData:
    """One official split on the device.

    Attributes:
        key: Names content and preprocessing: fingerprint, split, size, normalisation.
        source: Gives inputs.
        targets: int64 [N], the true labels.
        groups: int64 [N], which examples stay together when validation is carved; or None.
        num_unreadable: Examples that are left out because they cannot be read.
    """

    key: str
    source: BatchSource
    targets: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    num_unreadable: int = 0

    @property
    def placement(self) -> str:
        """Where the examples are: `device` or `stream`."""
        return str(getattr(self.source, "placement", "device"))

    def announce(self, batches: Iterable[NDArray[np.int64]]) -> None:
        """Tell the source, if it listens, which positions it will be asked for, in this order."""
        listener = getattr(self.source, "announce", None)
        if listener is not None:
            listener([torch.from_numpy(batch) for batch in batches])


@dataclass(frozen=True, slots=True, kw_only=True)
class CellData:
    """The examples of one cell.

    Attributes:
        info: The data set.
        train: Official training split.
        test: Official test split.
        train_indices: int64 [n], positions in `train` that the variant kept.
        train_targets: int64 [n], the labels to train with.
        val_indices: int64 [m], positions in `train`, carved before the variant.
        rest_indices: int64 [r], positions in `train` that neither part holds.
        test_indices: int64 [t], positions in `test`.
    """

    info: DatasetInfo
    train: SplitData
    test: SplitData
    train_indices: NDArray[np.int64]
    train_targets: NDArray[np.int64]
    val_indices: NDArray[np.int64]
    rest_indices: NDArray[np.int64]
    test_indices: NDArray[np.int64]

    @property
    def train_counts(self) -> NDArray[np.int64]:
        """int64 [C], training examples of each class, by the labels to train with."""
        return np.bincount(self.train_targets, minlength=self.info.num_classes).astype(np.int64)
