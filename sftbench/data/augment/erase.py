"""Erasing: a box of an image is set to the mean of all images, which is 0 after normalising."""

from __future__ import annotations

import torch
from torch import Tensor

from sftbench.data.augment.layout import is_channels_last


def erase_(inputs: Tensor, boxes: Tensor) -> Tensor:
    """Set a box of each image to 0, in place.

    Args:
        inputs: float [B, C, S, S] in either memory format, normalised.
        boxes: int64 [B, 4]: top, left, height, width; one of height 0 erases nothing.

    Returns:
        The inputs.
    """
    num, channels, height, width = inputs.shape
    tops, lefts, heights, widths = boxes.to(inputs.device).unbind(1)
    rows, columns = _covered(tops, heights, height), _covered(lefts, widths, width)
    # As planes of rows, so that the mask lies in memory as the inputs do.
    if is_channels_last(inputs):
        planes = inputs.permute(0, 2, 3, 1).view(num, height, width * channels)
        columns = columns.repeat_interleave(channels, dim=1)
    else:
        planes = inputs.view(num, channels * height, width)
        rows = rows.repeat(1, channels)
    planes.masked_fill_(rows[:, :, None] & columns[:, None, :], 0.0)
    return inputs


def _covered(starts: Tensor, lengths: Tensor, length: int) -> Tensor:
    """Return which of `length` places each box covers, bool [B, length]."""
    places = torch.arange(length, device=starts.device)
    return (places >= starts[:, None]) & (places < (starts + lengths)[:, None])
