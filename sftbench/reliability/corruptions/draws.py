"""Random numbers for each image of a batch, which its own seed alone decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Draws:
    """One generator an image, on the CPU: the same numbers on every device and in every batch.

    Args:
        seeds: Of the images, 0 to 2**63 - 1.
        device: Where the numbers are wanted.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = device

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers float32 [B, *shape]."""
        return self._each(lambda generator: torch.randn(shape, generator=generator))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return numbers in [low, high), float32 [B, *shape]."""
        shares = self._each(lambda generator: torch.rand(shape, generator=generator))
        return low + (high - low) * shares

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Return integers from low to high - 1, int64 [B, *shape]."""
        return self._each(lambda generator: torch.randint(low, high, shape, generator=generator))

    def poisson(self, rates: Tensor) -> Tensor:
        """Return counts of events at rates float32 [B, ...], of their shape."""
        each = zip(rates.cpu(), self._generators, strict=True)
        drawn = [torch.poisson(one, generator=generator) for one, generator in each]
        return torch.stack(drawn).to(self._device)

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(generator) for generator in self._generators]).to(self._device)
