"""Weather: snow, frost, fog, brightness. Images float32 [B, 3, S, S] in 0..1."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from sftbench.reliability.corruptions import sampling
from sftbench.reliability.corruptions.draws import Draws

_GREY: Final = (0.299, 0.587, 0.114)  # OpenCV's weights of red, green and blue
# Mean of red, green and blue, and mean deviation, of the five photographs that the published code
# draws from (frost1.png to frost5.jpg of imagecorruptions 1.1.2), measured.
_FROSTS: Final = (
    (0.305, 0.585, 0.650, 0.077),
    (0.787, 0.805, 0.841, 0.087),
    (0.787, 0.805, 0.841, 0.087),
    (0.540, 0.599, 0.648, 0.114),
    (0.441, 0.484, 0.528, 0.169),
)
_FROST_DECAY: Final = 1.6  # between fog and noise: patches with fine edges


def snow(images: Tensor, level: tuple[float, ...], draws: Draws) -> Tensor:
    """Whiten, and let flakes fall in two directions."""
    mean, deviation, zoom, threshold, radius, sigma, stays = level
    side = images.shape[-1]
    flakes = mean + deviation * draws.normal(1, side, side)
    flakes = sampling.zoomed(flakes, zoom)
    flakes = flakes.masked_fill(flakes < threshold, 0).clamp(0, 1)
    flakes = (flakes * 255 + 1e-3).floor() / 255
    flakes = sampling.motion_blur(flakes, int(radius), sigma, draws.uniform(-135, -45))
    flakes = (flakes * 255).round() / 255
    weights = images.new_tensor(_GREY).view(3, 1, 1)
    grey = (images * weights).sum(dim=1, keepdim=True)
    images = stays * images + (1 - stays) * torch.maximum(images, grey * 1.5 + 0.5)
    return images + flakes + flakes.flip(2, 3)


def frost(images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
    """Lay frost over the image: a fractal with the colours of one of five photographs."""
    stays, strength = level
    side = images.shape[-1]
    chosen = images.new_tensor(_FROSTS)[draws.integers(0, len(_FROSTS))]
    field = _plasma(side, _FROST_DECAY, draws)
    field = field - field.mean((2, 3), keepdim=True)
    field = field / field.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-6)
    tint, spread = chosen[:, :3, None, None], chosen[:, 3:, None, None]
    return stays * images + strength * (tint + spread * field).clamp(0, 1)


def fog(images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
    """Add a fractal, and bring the brightest value back to where it was."""
    strength, decay = level
    highest = images.amax((1, 2, 3), keepdim=True)
    foggy = images + strength * _plasma(images.shape[-1], decay, draws)
    return foggy * highest / (highest + strength)


def brightness(images: Tensor, level: float, _draws: Draws) -> Tensor:
    """Add to the value of HSV: hue and saturation stay."""
    value = images.amax(dim=1, keepdim=True)
    higher = (value + level).clamp(0, 1)
    return torch.where(value > 0, images * (higher / value.clamp_min(1e-12)), higher)


def _plasma(side: int, decay: float, draws: Draws) -> Tensor:
    """Return a fractal float32 [B, 1, S, S] in 0..1."""
    whole = 1 << (side - 1).bit_length()
    numbers = [draws.uniform(-1, 1, size, size) for size in sampling.fractal_shapes(whole)]
    return sampling.fractal(whole, decay, numbers)[:, None, :side, :side]
