"""Blur: defocus, glass, motion, zoom. Images float32 [B, 3, S, S] in 0..1."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sftbench.reliability.corruptions import sampling
from sftbench.reliability.corruptions.draws import Draws


def defocus_blur(images: Tensor, level: tuple[float, float], _draws: Draws) -> Tensor:
    """Convolve with a disk."""
    kernel = _disk(*level).to(images.device)
    reach = kernel.shape[-1] // 2
    side = images.shape[-1]
    places = torch.arange(-reach, side + reach, device=images.device)
    mirrored = sampling.inside(places, side, "mirror")
    padded = images[:, :, mirrored][..., mirrored]
    return F.conv2d(padded, kernel.expand(images.shape[1], 1, -1, -1), groups=images.shape[1])


def glass_blur(images: Tensor, level: tuple[float, int, int], draws: Draws) -> Tensor:
    """Blur, let pixels take that of a neighbour near by, and blur again."""
    sigma, reach, passes = level
    side = images.shape[-1]
    images = (_blurred(images, sigma) * 255 + 1e-3).floor() / 255
    places = torch.arange(side, device=images.device)
    moves = (places > reach) & (places <= side - reach)  # the loop of the published code
    moves = moves[:, None] & moves
    for _ in range(passes):
        steps = draws.integers(-reach, reach, 2, side, side).masked_fill(~moves, 0)
        images = sampling.picked(images, places[:, None] + steps[:, 0], places + steps[:, 1])
    return _blurred(images, sigma)


def motion_blur(images: Tensor, level: tuple[int, float], draws: Draws) -> Tensor:
    """Smear to one side, up to 45 degrees off the horizontal."""
    return sampling.motion_blur(images, *level, draws.uniform(-45, 45))


def zoom_blur(images: Tensor, level: tuple[float, float], _draws: Draws) -> Tensor:
    """Average the image with enlarged ones."""
    end, step = level
    factors = np.arange(1, end, step)  # as published: rounding decides how many there are
    total = images + sum(sampling.zoomed(images, float(factor)) for factor in factors)
    return total / (len(factors) + 1)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Blur as scikit-image's `gaussian` does."""
    return sampling.gaussian_blur(images, sigma, edge="nearest", truncate=4)


@functools.lru_cache(maxsize=32)
def _disk(radius: float, edge: float) -> Tensor:
    """Return a disk whose edge is blurred, float32 [1, 1, K, K], cut to what is not 0."""
    half = 8 if radius <= 8 else math.ceil(radius)
    taps = 3 if radius <= 8 else 5
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).double()
    disk /= disk.sum()
    bell = torch.exp(-((torch.arange(taps) - taps // 2) ** 2) / (2 * edge**2)).double()
    bell /= bell.sum()
    reach = taps // 2
    index = sampling.inside(torch.arange(-reach, len(places) + reach), len(places), "mirror")
    padded = disk[index][:, index]
    soft = F.conv2d(padded[None, None], (bell[:, None] * bell)[None, None])
    needed = min(half, math.ceil(radius) + reach)
    return soft[..., half - needed : half + needed + 1, half - needed : half + needed + 1].float()
