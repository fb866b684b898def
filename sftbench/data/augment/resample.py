"""Antialiased resizing of a box of each image: two products with matrices of its own.

The filters are those of Pillow and torchvision (`antialias=True`): a triangle, or the cubic with
a = -0.5. Their support grows with the scale where an image shrinks, and weights that would lie
outside of the box are left out. As in torch's path for uint8, each row is resized and rounded to
whole levels before columns are, and weights are whole multiples of a power of two: where a side
shrinks less than twofold float32 holds every sum exactly, and the order of adding, hence the
device, changes nothing.

Source: Pillow's `Resample.c`; torch's `UpSampleKernelAVXAntialias.h`, which follows it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
_MAX_WEIGHT = (1 << 15) - 0.5  # of the largest weight, in multiples: what an int16 holds
_MAX_BITS = 22


def resampled(
    batch: Tensor,
    boxes: Tensor,
    size: int,
    interpolation: Interpolation,
    flips: Tensor | None = None,
) -> Tensor:
    """Resize a box of each image to a square, and mirror some.

    Within one level of torchvision's `resized_crop` of uint8 images on a CPU.

    Args:
        batch: [B, C, H, W], values 0 to 255 of any type.
        boxes: int64 [B, 4] (CPU): top, left, height, width, within the images.
        size: S.
        interpolation: `bilinear` or `bicubic`.
        flips: bool [B] (CPU), who is mirrored afterwards; None: nobody.

    Returns:
        float32 [B, C, S, S] of whole levels 0 to 255.
    """
    num, channels, height, width = batch.shape
    tops, lefts, heights, widths = boxes.unbind(1)
    device = batch.device
    across, unit = interpolation_matrices(
        width, lefts, widths, size, interpolation, flips=flips, device=device
    )
    images = batch.to(torch.float32).contiguous()
    rows = torch.bmm(images.view(num, channels * height, width), across.transpose(1, 2))
    rows = _levels(rows, unit).view(num, channels, height, size)
    down, unit = interpolation_matrices(height, tops, heights, size, interpolation, device=device)
    # One matrix for all channels of an image.
    return _levels(torch.matmul(down[:, None], rows), unit[:, None])


def _levels(sums: Tensor, unit: Tensor) -> Tensor:
    """Return the nearest whole levels 0 to 255 of sums of multiples, in their memory."""
    return sums.mul_(unit).add_(0.5).floor_().clamp_(0.0, 255.0)


def interpolation_matrices(
    length: int,
    starts: Tensor,
    lengths: Tensor,
    size: int,
    interpolation: Interpolation,
    *,
    device: torch.device,
    flips: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what each of S new values is of the old ones, for each box of a side.

    Args:
        length: L, of the whole side.
        starts: int64 [B] (CPU), where boxes begin.
        lengths: int64 [B] (CPU), at least 1.
        size: S.
        interpolation: `bilinear` or `bicubic`.
        device: Where the matrices are wanted.
        flips: bool [B] (CPU), whose new values run backwards.

    Returns:
        float32 [B, S, L] of whole numbers, and float32 [B, 1, 1], what they are multiples of: a
        row times that adds up to 1.
    """
    scale = (lengths.to(torch.float64) / size)[:, None]
    stretch = scale.clamp_min(1.0)
    support = _SUPPORT[interpolation] * stretch
    place = torch.arange(size, dtype=torch.float64).expand(len(starts), size)
    if flips is not None:
        place = torch.where(flips[:, None], size - 1 - place, place)
    centre = scale * (place + 0.5)
    first = (centre - support + 0.5).floor_().clamp_min_(0.0)
    stop = torch.minimum((centre + support + 0.5).floor_(), lengths[:, None])
    # Of a whole row of old values only these few have a weight.
    taps = torch.arange(int((stop - first).max()), dtype=torch.float64)
    old = first[:, :, None] + taps
    weights = _filtered((old - (centre - 0.5)[:, :, None]) / stretch[:, :, None], interpolation)
    weights *= old < stop[:, :, None]
    weights /= weights.sum(dim=2, keepdim=True)
    bits = (torch.log2(_MAX_WEIGHT / weights.amax(dim=(1, 2), keepdim=True)).ceil_() - 1.0).clamp_(
        max=_MAX_BITS
    )
    whole = (weights * torch.exp2(bits)).round_().to(torch.float32)
    # Taps beyond the box have weight 0; the matrix is wide enough to take them.
    matrix = torch.zeros(len(starts), size, length + len(taps), device=device)
    columns = (old + starts[:, None, None]).to(torch.int64)
    matrix.scatter_(2, columns.to(device), whole.to(device))
    return matrix[:, :, :length], torch.exp2(-bits).to(torch.float32).to(device)


def _filtered(x: Tensor, interpolation: Interpolation) -> Tensor:
    """Return the filter's weight at distance x; the memory of x is used."""
    x = x.abs_()
    if interpolation == "bilinear":
        return x.neg_().add_(1.0).clamp_min_(0.0)
    # a = -0.5: 1.5 x^3 - 2.5 x^2 + 1 up to 1, then -0.5 x^3 + 2.5 x^2 - 4 x + 2 up to 2.
    near = ((1.5 * x - 2.5) * x).mul_(x).add_(1.0)
    far = ((2.5 - 0.5 * x) * x).sub_(4.0).mul_(x).add_(2.0)
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, 0.0))


def resized(batch: Tensor, size: int, interpolation: Interpolation) -> Tensor:
    """Resize whole images [B, C, H, W] to squares: float32 [B, C, S, S] of whole levels."""
    height, width = batch.shape[2:]
    box = torch.tensor([0, 0, height, width])
    return resampled(batch, box.expand(len(batch), 4), size, interpolation)
