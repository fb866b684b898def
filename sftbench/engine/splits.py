"""The examples of a cell: official splits on the device, and who belongs to which part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftbench.contracts.dataset import DatasetInfo
from sftbench.contracts.strategy import View
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
        counts: int64 [N, C], objects of each class in each example; None: the targets say it.
        has_truth: Whether what is predicted is more than a class index.
    """

    key: str
    source: BatchSource
    targets: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    num_unreadable: int = 0
    counts: NDArray[np.int64] | None = None
    has_truth: bool = False

    @property
    def placement(self) -> str:
        """Where the examples are: `device` or `stream`."""
        return str(getattr(self.source, "placement", "device"))

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """int64 [N], where examples of similar length are to come together; or None."""
        lengths: NDArray[np.int64] | None = getattr(self.source, "lengths", None)
        return lengths

    @property
    def notes(self) -> Mapping[str, int]:
        """What the record should say of how examples were brought into their form."""
        return dict(getattr(self.source, "notes", {}))

    def batch(
        self, indices: Tensor, labels: Tensor, view: View, generator: torch.Generator | None
    ) -> tuple[Any, Any]:
        """Return inputs and what the loss compares with, as `BatchSource.batch` does."""
        made = getattr(self.source, "batch", None)
        if made is not None:
            inputs, targets = made(indices, labels, view, generator)
            return inputs, targets
        return self.source.inputs(indices, view, generator), labels

    def batch_targets(self, indices: Tensor, labels: Tensor) -> Any:
        """Return what the loss compares with for plain views, as `BatchSource.targets` does."""
        made = getattr(self.source, "targets", None)
        return labels if made is None else made(indices, labels)

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
        """int64 [C], training examples (or objects) of each class, by the labels to train with."""
        if self.train.counts is not None:
            counts: NDArray[np.int64] = self.train.counts[self.train_indices].sum(axis=0)
            return counts
        return np.bincount(self.train_targets, minlength=self.info.num_classes).astype(np.int64)

    @property
    def train_lengths(self) -> NDArray[np.int64] | None:
        """int64 [n], lengths of the training examples, where they have any."""
        lengths = self.train.lengths
        return None if lengths is None else lengths[self.train_indices]
