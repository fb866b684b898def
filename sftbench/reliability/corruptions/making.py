"""One corruption of a batch of images, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from sftbench.reliability.corruptions import blur, digital, noise, weather
from sftbench.reliability.corruptions.draws import Draws
from sftbench.reliability.corruptions.levels import level_of

SEVERITIES: Final = (1, 2, 3, 4, 5)
_CORRUPTIONS: Final[Mapping[str, Callable[[Tensor, Any, Draws], Tensor]]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
KINDS: Final = tuple(_CORRUPTIONS)


def corrupt(pixels: Tensor, kind: str, severity: int, seeds: Sequence[int]) -> Tensor:
    """Return corrupted images.

    Args:
        pixels: uint8 [B, C, S, S] with C = 1 or 3; one channel is repeated to three.
        kind: Of `KINDS`.
        severity: Of `SEVERITIES`.
        seeds: One for each image: the same image and seed give the same bits in any batch on one
            device, and severities of a kind share their random numbers.

    Returns:
        uint8 [B, 3, S, S] on the same device.

    Raises:
        KeyError: There is no such kind.
    """
    images = pixels.expand(-1, 3, -1, -1).contiguous().float() / 255
    level = level_of(kind, severity, images.shape[-1])
    made = _CORRUPTIONS[kind](images, level, Draws(seeds, images.device))
    # The published code cuts off behind the point; what float32 lost before must not take a level.
    return (made.clamp(0, 1) * 255 + 1e-3).floor().to(torch.uint8)
