"""Shears, rotations and shifts of whole batches, each image by an amount of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sftbench.data.augment.crop import cropped


def sheared_x(batch: Tensor, amounts: Tensor) -> Tensor:
    """Shift each row by its number times the amount; the first row stays.

    Args:
        batch: uint8 [B, C, H, W].
        amounts: float64 [B] (CPU), pixels for each row.
    """
    height = batch.shape[2]
    one, none = torch.ones_like(amounts), torch.zeros_like(amounts)
    # The corner is the fixed point; coordinates count from the centre.
    return _sampled(batch, [one, amounts, amounts * height / 2, none, one, none])


def sheared_y(batch: Tensor, amounts: Tensor) -> Tensor:
    """Shift each column by its number times the amount; the first column stays.

    Args:
        batch: uint8 [B, C, H, W].
        amounts: float64 [B] (CPU), pixels for each column.
    """
    width = batch.shape[3]
    one, none = torch.ones_like(amounts), torch.zeros_like(amounts)
    return _sampled(batch, [one, none, none, amounts, one, amounts * width / 2])


def rotated(batch: Tensor, degrees: Tensor) -> Tensor:
    """Rotate around the centre, counter-clockwise.

    Args:
        batch: uint8 [B, C, H, W].
        degrees: float64 [B] (CPU).
    """
    angles = torch.deg2rad(degrees)
    cos, sin, none = torch.cos(angles), torch.sin(angles), torch.zeros_like(angles)
    return _sampled(batch, [cos, -sin, none, sin, cos, none])


def shifted(batch: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift by whole pixels; what comes in is 0.

    Args:
        batch: uint8 [B, C, H, W].
        down: int64 [B] (CPU), negative ones go up.
        right: int64 [B] (CPU), negative ones go left.
    """
    most = int(torch.stack([down, right]).abs().max())
    return cropped(batch, torch.stack([most - down, most - right]), most)


def _sampled(batch: Tensor, inverse: list[Tensor]) -> Tensor:
    """Sample bilinearly at `inverse` of each place; outside is 0, as in torchvision's `affine`.

    Args:
        batch: uint8 [B, C, H, W].
        inverse: Rows of a 2 x 3 matrix, float64 [B] each: from new to old coordinates, in pixels
            from the centre.
    """
    height, width = batch.shape[2:]
    matrices = torch.stack(inverse, dim=1).view(-1, 2, 3).to(torch.float32).to(batch.device)
    half = torch.tensor([0.5 * width, 0.5 * height], device=batch.device)
    across = torch.linspace((1.0 - width) * 0.5, (width - 1.0) * 0.5, width, device=batch.device)
    down = torch.linspace((1.0 - height) * 0.5, (height - 1.0) * 0.5, height, device=batch.device)
    places = torch.stack(
        [
            across.expand(height, width),
            down[:, None].expand(height, width),
            torch.ones_like(across).expand(height, width),
        ],
        dim=2,
    )
    grid = torch.matmul(places.view(-1, 3), matrices.transpose(1, 2) / half)
    found = F.grid_sample(
        batch.to(torch.float32).contiguous(),
        grid.view(-1, height, width, 2),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return found.round_().to(torch.uint8)
