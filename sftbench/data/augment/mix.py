"""Mixup and CutMix: each image with its neighbour in the batch, by one share for all.

Sources: Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899. The draws and the
arithmetic are those of torchvision's `v2.MixUp` and `v2.CutMix`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mix:
    """How the images of a batch were mixed.

    Attributes:
        partner: int64 [B], whose pixels each image got.
        lam: The share of its own pixels, the same for the whole batch; 0 to 1.
    """

    partner: Tensor
    lam: float


def draw_share(alpha: float, generator: torch.Generator | None) -> float:
    """Draw a share from Beta(alpha, alpha)."""
    uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
    return float(betaincinv(alpha, alpha, uniform))


def draw_cut(
    lam: float, height: int, width: int, generator: torch.Generator | None
) -> tuple[int, int, int, int]:
    """Draw a box of the share 1 - lam of an image, cut off where it leaves it.

    Returns:
        First row and column, and those behind the last.
    """
    column = int(torch.randint(width, (1,), generator=generator))
    row = int(torch.randint(height, (1,), generator=generator))
    half = 0.5 * math.sqrt(1.0 - lam)
    tall, wide = int(half * height), int(half * width)
    return (
        max(row - tall, 0),
        max(column - wide, 0),
        min(row + tall, height),
        min(column + wide, width),
    )


def mixup(inputs: Tensor, lam: float) -> tuple[Tensor, Mix]:
    """Add each image, weighted by `lam`, and the one before it, weighted by 1 - `lam`.

    Args:
        inputs: float [B, C, H, W].
        lam: 0 to 1.
    """
    mixed = _before(inputs).mul_(1.0 - lam).add_(inputs.mul(lam))
    return mixed, Mix(_partners(inputs), lam)


def cutmix(inputs: Tensor, box: tuple[int, int, int, int]) -> tuple[Tensor, Mix]:
    """Paste a box of the image before each into it; the share is that of the pixels it keeps.

    Args:
        inputs: float [B, C, H, W].
        box: First row and column, and those behind the last.
    """
    top, left, bottom, right = box
    height, width = inputs.shape[2:]
    mixed = inputs.clone()
    mixed[:, :, top:bottom, left:right] = _before(inputs[:, :, top:bottom, left:right])
    lam = 1.0 - (right - left) * (bottom - top) / (width * height)
    return mixed, Mix(_partners(inputs), lam)


def _before(inputs: Tensor) -> Tensor:
    """Return a copy in which each image is the one before it; unlike `roll` it keeps the layout."""
    return torch.cat([inputs[-1:], inputs[:-1]])


def _partners(inputs: Tensor) -> Tensor:
    return torch.arange(len(inputs), device=inputs.device).roll(1)
