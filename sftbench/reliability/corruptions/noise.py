"""Noise: gaussian, shot and impulse. Images float32 [B, 3, S, S] in 0..1."""

from __future__ import annotations

from torch import Tensor

from sftbench.reliability.corruptions.draws import Draws


def gaussian_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Add normal noise of a standard deviation."""
    return images + level * draws.normal(*images.shape[1:])


def shot_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Count photons of which `level` are white."""
    return draws.poisson(images * level) / level


def impulse_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Replace a share of the values by 0 or 1, as scikit-image's salt and pepper does."""
    numbers = draws.uniform(0, 1, 2, *images.shape[1:])
    hit, is_salt = numbers[:, 0] <= level, numbers[:, 1] <= 0.5
    return images.masked_fill(hit & is_salt, 1.0).masked_fill(hit & ~is_salt, 0.0)
