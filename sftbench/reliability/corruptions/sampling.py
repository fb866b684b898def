"""What several corruptions do to images: blur, zoom, shift, sample. Images float32 [B, C, S, S]."""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Edge = Literal["nearest", "reflect", "mirror"]
"""Beyond the edge: aaa|abc, cba|abc or cb|abc, by scipy's names."""


def inside(index: Tensor, size: int, edge: Edge) -> Tensor:
    """Return for each index, int64 [...], the one in 0..size - 1 that stands for it."""
    if edge == "nearest" or size == 1:
        return index.clamp(0, size - 1)
    period = 2 * size if edge == "reflect" else 2 * size - 2
    folded = index.remainder(period)
    last = period - 1 if edge == "reflect" else period
    return torch.where(folded < size, folded, last - folded)


def gaussian_blur(images: Tensor, sigma: float, *, edge: Edge, truncate: float) -> Tensor:
    """Blur as `scipy.ndimage.gaussian_filter` does, cut off after `truncate` deviations."""
    matrix = _gaussian(images.shape[-1], sigma, edge, truncate).to(images.device)
    return matrix @ images @ matrix.T


@functools.lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float, edge: Edge, truncate: float) -> Tensor:
    """Return the blur of a row as a matrix float32 [size, size]."""
    reach = int(truncate * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    taps = torch.exp(-0.5 * (offsets.double() / max(sigma, 1e-12)) ** 2)
    taps /= taps.sum()
    rows = torch.arange(size)[:, None].expand(-1, len(taps))
    columns = inside(rows + offsets, size, edge)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.index_put_((rows, columns), taps.expand(size, -1), accumulate=True)
    return matrix.float()


def zoomed(images: Tensor, factor: float) -> Tensor:
    """Enlarge the middle, linearly between its corners, as the published `clipped_zoom` does."""
    side = images.shape[-1]
    part = math.ceil(side / factor)
    top = (side - part) // 2
    cut = images[..., top : top + part, top : top + part]
    size = round(part * factor)
    large = F.interpolate(cut, size=size, mode="bilinear", align_corners=True)
    trim = (size - side) // 2
    return large[..., trim : trim + side, trim : trim + side]


def motion_blur(images: Tensor, radius: int, sigma: float, angles: Tensor) -> Tensor:
    """Smear each image in one direction, as ImageMagick's MotionBlurImage does.

    Args:
        images: float32 [B, C, S, S].
        radius: Pixels; the smear has 2 radius + 1 taps.
        sigma: Standard deviation of the taps' half bell.
        angles: float32 [B], degrees.
    """
    side, width = images.shape[-1], 2 * radius + 1
    steps = torch.arange(width, device=images.device)
    taps = torch.exp(-(steps.double() ** 2) / (2 * sigma**2)).float()
    taps = taps / taps.sum()
    radians = torch.deg2rad(angles.double())
    down = torch.ceil(steps[:, None] * radians.sin() - 0.5).long()  # [W, B]
    right = torch.ceil(steps[:, None] * radians.cos() - 0.5).long()
    places = torch.arange(side, device=images.device)
    result = torch.zeros_like(images)
    for tap, dy, dx in zip(taps, down, right, strict=True):
        rows = (places + dy[:, None]).clamp(0, side - 1)
        columns = (places + dx[:, None]).clamp(0, side - 1)
        result += tap * picked(images, rows[:, :, None], columns[:, None, :])
    return result


def picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the pixels at integer places int64 [B, S, S] (or what spreads to it)."""
    batch, channels, side, _ = images.shape
    flat = (rows * side + columns).reshape(batch, 1, -1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, flat).view(images.shape)


def sampled(images: Tensor, rows: Tensor, columns: Tensor, edge: Edge) -> Tensor:
    """Return the images at places float32 [B, S, S], linearly between pixels."""
    side = images.shape[-1]
    top, left = rows.floor(), columns.floor()
    below, beside = (rows - top)[:, None], (columns - left)[:, None]
    result = torch.zeros_like(images)
    for dy, vertical in ((0, 1 - below), (1, below)):
        for dx, horizontal in ((0, 1 - beside), (1, beside)):
            y = inside(top.long() + dy, side, edge)
            x = inside(left.long() + dx, side, edge)
            result += vertical * horizontal * picked(images, y, x)
    return result


def fractal(side: int, decay: float, uniform: list[Tensor]) -> Tensor:
    """Return a plasma of diamonds and squares, float32 [B, side, side] in 0..1.

    Args:
        side: A power of two.
        decay: What the roughness is divided by from each scale to the next finer one.
        uniform: Numbers in [-1, 1) as `fractal_shapes` asks for, float32 [B, n, n] each.
    """
    field = uniform[0].new_zeros(len(uniform[0]), side, side)
    numbers = iter(uniform)
    step, wibble = side, 100.0
    while step >= 2:
        half = step // 2

        def mean_of(total: Tensor, wibble: float = wibble) -> Tensor:
            return total / 4 + wibble * wibble * next(numbers)

        corners = field[:, ::step, ::step]
        across = corners + corners.roll(-1, 1)
        field[:, half::step, half::step] = mean_of(across + across.roll(-1, 2))
        middles = field[:, half::step, half::step]
        beside = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        field[:, ::step, half::step] = mean_of(beside)
        above = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        field[:, half::step, ::step] = mean_of(above)
        step, wibble = half, wibble / decay
    field -= field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True)


def fractal_shapes(side: int) -> list[int]:
    """Return the sides of the fields of random numbers that `fractal` takes, in order."""
    sizes = [side // step for step in (side >> power for power in range(side.bit_length() - 1))]
    return [size for size in sizes for _ in range(3)]


def box_matrix(size_in: int, size_out: int) -> Tensor:
    """Return Pillow's BOX resampling of a row as a matrix float32 [out, in]."""
    scale = size_in / size_out
    support = 0.5 * max(scale, 1.0)
    matrix = np.zeros((size_out, size_in), dtype=np.float32)
    for row in range(size_out):
        center = (row + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), size_in)
        places = (np.arange(first, last) - center + 0.5) / max(scale, 1.0)
        taps = ((places > -0.5) & (places <= 0.5)).astype(np.float64)
        matrix[row, first:last] = taps / taps.sum()
    return torch.from_numpy(matrix)
