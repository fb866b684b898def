"""Rows of a batch by index, in the memory format that the batch has."""

from __future__ import annotations

import torch
from torch import Tensor


def is_channels_last(batch: Tensor) -> bool:
    """Tell whether images [B, C, H, W] lie in memory as [B, H, W, C].

    One channel is both; then it counts as [B, C, H, W].
    """
    return not batch.is_contiguous() and batch.is_contiguous(memory_format=torch.channels_last)


def as_planes(batch: Tensor) -> tuple[Tensor, int]:
    """Return a batch as planes of rows, without a copy where it is dense.

    Args:
        batch: [B, C, H, W] in either memory format.

    Returns:
        [B, H, W * C] with C, where channels are last; else [B * C, H, W] with 1: planes, and the
        values that belong to one pixel of a row.
    """
    channels, height, width = batch.shape[1:]
    if is_channels_last(batch):
        return batch.permute(0, 2, 3, 1).reshape(-1, height, width * channels), channels
    return batch.reshape(-1, height, width), 1


def selected(batch: Tensor, indices: Tensor) -> Tensor:
    """Return the images of `indices` int64 [K], copied whole: several times quicker than `[]`."""
    if is_channels_last(batch):
        return batch.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)
    return batch.index_select(0, indices)


def halves(chosen: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return an order that puts what is not chosen first, the way back, and where the rest begins.

    Args:
        chosen: bool [B] (CPU).

    Returns:
        int64 [B], int64 [B], and the number of those not chosen.
    """
    order = torch.argsort(chosen.to(torch.uint8), stable=True)
    return order, torch.argsort(order), int(len(chosen) - chosen.sum())
