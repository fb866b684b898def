"""Networks made of another one's blocks: with a small module behind each, or without the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sftbench.models.blocks import BlockBackbone
from sftbench.models.freezing import in_eval
from sftbench.models.pyramids import leave_out


def channels_of(shape: Sequence[int]) -> int:
    """Return which dimension of a block's output [B, ...] holds the channels.

    Maps are [B, C, H, W], or [B, H, W, C] where the two before the last are equal and no other two
    (Swin); tokens are [B, T, D], features [B, D].
    """
    if len(shape) == 4:
        last = shape[1] == shape[2] != shape[3]
        return 3 if last else 1
    return len(shape) - 1


class InterleavedNetwork(nn.Module):
    """A `Network` that runs a module of its own behind each block of another one.

    Args:
        body: Becomes part of this one, as `body`.
        example: Inputs [B, ...] of the size that all have.
        make: Builds the module behind a block, given its number of channels and their dimension.
    """

    def __init__(
        self, body: BlockBackbone, example: Tensor, make: Callable[[int, int], nn.Module]
    ) -> None:
        super().__init__()
        self.body = body
        self.between = nn.ModuleList()
        h = example
        with torch.no_grad(), in_eval(body):
            for block in range(body.num_blocks):
                h = body.between(h, block, block + 1)
                dim = channels_of(h.shape)
                self.between.append(make(h.shape[dim], dim))
        self.num_blocks = body.num_blocks
        self.block_names = tuple(body.block_names)
        self.feature_width = body.feature_width

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] of inputs [B, ...]."""
        return self._run(x, 0, self.num_blocks)

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        """The output of the first k blocks, each with its module."""
        return self._run(x, 0, k)

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        """Features [B, D] from the output of the first k blocks."""
        return self._run(h, k, self.num_blocks)

    def block_of(self, parameter_name: str) -> int:
        """Index of the block that owns a parameter or buffer, or that it stands behind."""
        part, _, rest = parameter_name.partition(".")
        return int(rest.partition(".")[0]) if part == "between" else self.body.block_of(rest)

    def _run(self, h: Tensor, first: int, last: int) -> Tensor:
        if not 0 <= first <= last <= self.num_blocks:
            raise ValueError(f"k must be from 0 to {self.num_blocks} (num_blocks)")
        for block in range(first, last):
            h = self.between[block](self.body.between(h, block, block + 1))
        return h


class ShortenedNetwork(nn.Module):
    """A `Network` without the last blocks of another one: what is left is averaged over its places.

    Args:
        body: Becomes part of this one, as `body`; what only its last blocks need leaves it.
        example: Inputs [B, ...] of the size that all have.
        num_blocks: How many stay, 1 to one less than there are.
    """

    def __init__(self, body: BlockBackbone, example: Tensor, num_blocks: int) -> None:
        super().__init__()
        if not 0 < num_blocks < body.num_blocks:
            raise ValueError(f"{num_blocks} of {body.num_blocks} blocks cannot stay")
        self.body = body
        with torch.no_grad(), in_eval(body):
            shape = body.forward_to(example, num_blocks).shape
        self.num_blocks = num_blocks
        self.block_names = tuple(body.block_names[:num_blocks])
        self._channels = channels_of(shape)
        self.feature_width = int(shape[self._channels])
        leave_out(body, num_blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] of inputs [B, ...]."""
        return self._pooled(self.body.forward_to(x, self.num_blocks))

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        """The output of the first k blocks; features for k = num_blocks."""
        return self.forward(x) if k == self.num_blocks else self.body.forward_to(x, k)

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        """Features [B, D] from the output of the first k blocks."""
        if k == self.num_blocks:
            return h
        return self._pooled(self.body.between(h, k, self.num_blocks))

    def block_of(self, parameter_name: str) -> int:
        """Index of the block that owns a parameter or buffer."""
        return self.body.block_of(parameter_name.removeprefix("body."))

    def _pooled(self, h: Tensor) -> Tensor:
        places = [dim for dim in range(1, h.ndim) if dim != self._channels]
        return h.mean(dim=places) if places else h
