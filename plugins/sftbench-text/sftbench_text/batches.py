"""Texts as batches of tokens on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftbench.api import BatchContext, BatchSource, View
from sftbench_text.tokens import TextTokens

_MULTIPLE: Final = 8  # widths of batches, so that few shapes occur


class TokenBatches(BatchSource):
    """A `BatchSource` of token ids, int64 [B, T] with the tokenizer's padding behind each text.

    Plain views have one width, the most tokens of a text, because features of frozen blocks are
    kept in rows of one form. The others are as wide as the longest text of the batch asks for, and
    `lengths` lets texts of similar length come together. There is no random augmentation.

    Args:
        texts: N of them.
        tokens: Of the backbone.
        ctx: Device, and the most tokens of a text.
    """

    def __init__(self, texts: Sequence[str] | NDArray[Any], tokens: TextTokens, ctx: BatchContext):
        self._width = ctx.image_size
        found = tokens.encode_once([str(text) for text in texts], self._width)
        self.lengths: NDArray[np.int64] = found.lengths
        self.notes: Mapping[str, int] = {
            "texts": len(found.cut),
            f"cut to {self._width} tokens": int(found.cut.sum()),
        }
        self._pad = tokens.pad_id
        self._device = ctx.device
        self._sizes = torch.from_numpy(self.lengths)
        # 128 tokens of 100,000 texts take 51 MB, so all of them stay on the device.
        self._rows = torch.from_numpy(self._filled(found)).to(ctx.device)

    def _filled(self, found: Any) -> NDArray[np.int32]:
        rows = np.full((len(found.ends), self._width), self._pad, dtype=np.int32)
        inside = np.arange(self._width) < self.lengths[:, None]
        rows[inside] = found.ids
        return rows

    def __len__(self) -> int:
        """Return the number of texts of the split."""
        return len(self._sizes)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return token ids int64 [B, T] of indices int64 [B] (CPU)."""
        rows = self._rows[indices.to(self._device)]
        if view != "plain":
            longest = int(self._sizes[indices].max())
            rows = rows[:, : min(self._width, rounded(longest))]
        return rows.long()


def rounded(length: int) -> int:
    """Return the next multiple of 8."""
    return -(-length // _MULTIPLE) * _MULTIPLE
