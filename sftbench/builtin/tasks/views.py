"""Pairs of views: how they are made, projected and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from sftbench.api import BatchContext, BatchSource, View
from sftbench.data.images import ImageBatches


class PairProjection(nn.Module):
    """Features [2 B, D], all first views before all second ones, to projections [B, 2 P].

    Args:
        feature_width: D.
        width: P.
    """

    def __init__(self, feature_width: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_width, feature_width)
        self.projection = nn.Linear(feature_width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the projections of both views side by side."""
        projected: Tensor = self.projection(F.relu(self.hidden(features)))
        first, second = projected.chunk(2)
        return torch.cat([first, second], dim=1)


def nt_xent(outputs: Tensor, temperature: float) -> Tensor:
    """Return the mean normalised temperature-scaled cross-entropy of the pairs, a scalar.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1.

    Args:
        outputs: float [B, 2 P], the projections of both views side by side.
        temperature: Divides the cosines.
    """
    first, second = F.normalize(outputs.float().view(len(outputs), 2, -1), dim=2).unbind(1)
    views = torch.cat([first, second])
    scores = views @ views.T / temperature
    scores.fill_diagonal_(-float("inf"))  # a view is no candidate for itself
    others = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(scores, others)


class PairBatches(BatchSource):
    """A `BatchSource` that gives two views of every image.

    In training both are random. In evaluation (`plain`) the first is the image itself, and the
    second is random under a seed that the image's position alone decides.

    Args:
        images: uint8 [N, H, W, C] with C = 1 or 3.
        ctx: Device, size, normalisation.
    """

    def __init__(self, images: NDArray[np.uint8], ctx: BatchContext) -> None:
        self._images = ImageBatches(images, ctx)
        self.placement = self._images.placement
        size = ctx.image_size
        flip = [v2.RandomHorizontalFlip()] if ctx.horizontal_flip else []
        self._random = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
                *flip,
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                v2.RandomGrayscale(p=0.2),
            ]
        )

    def __len__(self) -> int:
        """Return the number of images of the split."""
        return len(self._images)

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Bring these to the device, or begin to read them."""
        self._images.announce(batches)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return float32 [2 B, 3, S, S]: all first views, then all second views."""
        pixels = self._images.pixels(indices)
        if view == "plain":
            seeds = indices.tolist()
            pairs = torch.cat([pixels, self._seen(pixels, seeds)])
        else:
            drawn: Any = torch.randint(2**31, (2, len(indices)), generator=generator).tolist()
            pairs = torch.cat([self._seen(pixels, seeds) for seeds in drawn])
        return self._images.normalised(pairs)

    def _seen(self, pixels: Tensor, seeds: list[int]) -> Tensor:
        # torchvision's transforms draw from the global generator, so it is set and given back.
        with torch.random.fork_rng(devices=[]):
            views = []
            for image, seed in zip(pixels, seeds, strict=True):
                torch.manual_seed(seed)
                views.append(self._random(image))
        return torch.stack(views)
