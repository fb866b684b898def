"""What a frozen prefix gives for each image, computed once for every cell that shares it."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from sftbench.data.rows import LazyRows
from sftbench.engine.runtime import autocast
from sftbench.engine.splits import SplitData
from sftbench.models.freezing import prefix_digest
from sftbench.models.model import Model
from sftbench.protocol import Precision

_LIMIT_BYTES = 2 << 30


class FeatureStore:
    """Outputs of frozen prefixes over official splits, in memory, least recently used first out.

    The key is the SHA-256 of the prefix's tensors, the number of blocks, the split with its
    preprocessing, the precision, and the structure: a changed weight, block, size, precision or
    adaptation never hits.

    Args:
        limit_bytes: Of all features together.
    """

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._rows: OrderedDict[tuple[str, int, str, str, str], LazyRows] = OrderedDict()

    def rows(
        self,
        model: Model,
        split: SplitData,
        k: int,
        precision: Precision,
        *,
        structure: str = "",
    ) -> LazyRows | None:
        """Return the outputs of the first k blocks on the split, computed as they are needed.

        Args:
            model: Its first k blocks must stay as they are while the rows are used.
            split: The official split; images are seen plain, one view.
            k: 1 to num_blocks.
            precision: Of the passes.
            structure: What the network is besides its tensors: its name, and who changed it.

        Returns:
            None where the features of this split would not fit.
        """
        key = (prefix_digest(model, k), k, split.key, precision, structure)
        rows = self._rows.get(key)
        if rows is None:
            if not self._fits(model, split, k, precision):
                return None
            rows = self._rows[key] = LazyRows(len(split.source), None, padded=True)
        self._rows.move_to_end(key)
        rows.compute = lambda indices: prefix_outputs(model, split, indices, k, precision)
        self._evict(keep=rows)
        return rows

    def release(self) -> None:
        """Let go of the models that would compute further rows; computed rows stay."""
        for rows in self._rows.values():
            rows.compute = None

    def _fits(self, model: Model, split: SplitData, k: int, precision: Precision) -> bool:
        row = prefix_outputs(model, split, torch.zeros(1, dtype=torch.int64), k, precision)
        return row.nbytes * len(split.source) <= self._limit

    def _evict(self, keep: LazyRows) -> None:
        while sum(rows.nbytes for rows in self._rows.values()) > self._limit:
            key = next(key for key, rows in self._rows.items() if rows is not keep)
            del self._rows[key]


def prefix_outputs(
    model: Model, split: SplitData, indices: Tensor, k: int, precision: Precision
) -> Tensor:
    """Run the first k blocks in eval mode, without gradients, on plain views of `indices`."""
    inputs = split.source.inputs(indices, "plain", None)
    training = {module: module.training for module in model.backbone.modules()}
    model.backbone.eval()
    try:
        # Not `inference_mode`: its tensors could not take part in autograd later.
        with torch.no_grad(), autocast(inputs.device, precision):
            return model.network.forward_to(inputs, k)
    finally:
        for module, mode in training.items():
            module.training = mode
