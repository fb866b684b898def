"""Crops of zero-padded images and mirror images, in one pass over a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from sftbench.data.augment.layout import as_planes, halves, is_channels_last, selected


def draw_offsets(num: int, padding: int, generator: torch.Generator | None) -> Tensor:
    """Return rows and columns at which crops begin, int64 [2, B], each from 0 to 2 x padding."""
    return torch.randint(0, 2 * padding + 1, (2, num), generator=generator)


def draw_flips(num: int, generator: torch.Generator | None) -> Tensor:
    """Return which half of the images is mirrored, bool [B]."""
    return torch.rand(num, generator=generator) < 0.5


def flipped(batch: Tensor, flips: Tensor) -> Tensor:
    """Return a batch [B, C, H, W] with the images of `flips` (bool [B], CPU) mirrored."""
    order, back, first = halves(flips)
    batch = selected(batch, order.to(batch.device))
    batch[first:] = batch[first:].flip(3)
    return selected(batch, back.to(batch.device))


def cropped(batch: Tensor, offsets: Tensor, padding: int, flips: Tensor | None = None) -> Tensor:
    """Pad with zeros, crop to the old size, then mirror.

    The same bits as torchvision's `pad` and `crop` at the same offsets. A crop is one stretch of
    the padded image's memory, with `2 x padding` pixels too many at the end of each row; so each
    image is copied once, whole.

    Args:
        batch: [B, C, H, W] in either memory format, of any type.
        offsets: int64 [2, B] (CPU), first row and column in the padded image.
        padding: Pixels on each side.
        flips: bool [B] (CPU), who is mirrored after cropping; None: nobody.

    Returns:
        A view [B, C, H, W] in the memory format of the batch, with gaps between its rows.
    """
    num, channels, height, width = batch.shape
    tops, lefts = offsets
    back = torch.arange(num)
    last = is_channels_last(batch)
    if flips is not None:
        order, back, first = halves(flips)
        batch = selected(batch, order.to(batch.device))
        batch[first:] = batch[first:].flip(3)
        # The mirror image of a crop is a crop of the mirror image.
        lefts = torch.where(flips, 2 * padding - lefts, lefts)
    planes, unit = as_planes(batch)
    rows, row = height + 2 * padding, (width + 2 * padding) * unit
    stretch = height * row
    # What lies behind the last crop is never looked at, but must be there.
    memory = planes.new_zeros(len(planes) * rows * row + row)
    padded = memory[: len(planes) * rows * row].view(len(planes), rows, row)
    padded[:, padding : padding + height, padding * unit : (padding + width) * unit] = planes
    starts = tops * row + lefts * unit
    each = 1 if last else channels
    of_planes = back[:, None] * each + torch.arange(each)
    starts = (of_planes * (rows * row) + starts[:, None]).flatten() // unit
    stretches = memory.as_strided(((len(memory) - stretch) // unit + 1, stretch), (unit, 1))
    found = stretches.index_select(0, starts.to(batch.device))
    if last:
        found = found.view(num, height, width + 2 * padding, channels).permute(0, 3, 1, 2)
    else:
        found = found.view(num, channels, height, width + 2 * padding)
    return found[..., :width]
