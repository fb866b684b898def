"""Images on the device: resized once, then flipped and normalised in whole batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as tv

from sftbench.contracts.strategy import View
from sftbench.contracts.task import BatchContext
from sftbench.data.rows import LazyRows

_MODES = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}
_KEEP_RESIZED_BYTES = 2 << 30


class ImageBatches:
    """A `BatchSource` over uint8 images.

    Resizing is antialiased, shorter side first, then a centre crop; its result is rounded to
    uint8, as torchvision does for uint8 images, and kept where it fits 2 GiB.

    Args:
        images: uint8 [N, H, W, C] with C = 1 or 3; one channel is repeated to three.
        ctx: Device, size, normalisation, augmentation.
    """

    def __init__(self, images: NDArray[np.uint8], ctx: BatchContext) -> None:
        self._images = images
        self._ctx = ctx
        channels = images.shape[3]
        self._resized: LazyRows | None = None
        if len(images) * channels * ctx.image_size**2 <= _KEEP_RESIZED_BYTES:
            self._resized = LazyRows(len(images), self._resize)
        self._strong = v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
        scale = torch.tensor(ctx.backbone.std, device=ctx.device) * 255.0
        mean = torch.tensor(ctx.backbone.mean, device=ctx.device) * 255.0
        self._scale = (1.0 / scale).view(1, 3, 1, 1)
        self._shift = (-mean / scale).view(1, 3, 1, 1)

    def __len__(self) -> int:
        """Return the number of images of the split."""
        return len(self._images)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return float32 [B, 3, S, S], normalised, in the chosen memory format."""
        batch = self.pixels(indices)
        if view != "plain":
            batch = self._flip(batch, generator)
        if view == "strong":
            batch = self._distort(batch, generator)
        return self.normalised(batch)

    def pixels(self, indices: Tensor) -> Tensor:
        """Return uint8 [B, C, S, S], resized, before any augmentation."""
        return self._resize(indices) if self._resized is None else self._resized[indices]

    def normalised(self, batch: Tensor) -> Tensor:
        """Return float32 [B, 3, S, S] of pixels [B, C, S, S] on the scale 0..255."""
        pixels = batch.to(torch.float32)
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        result = torch.addcmul(self._shift, pixels, self._scale)
        if self._ctx.channels_last:
            result = result.contiguous(memory_format=torch.channels_last)
        return result

    def _resize(self, indices: Tensor) -> Tensor:
        rows = np.ascontiguousarray(self._images[indices.numpy()])
        batch = torch.from_numpy(rows).permute(0, 3, 1, 2).to(self._ctx.device)
        size = self._ctx.image_size
        if min(batch.shape[2:]) != size:
            mode = _MODES[self._ctx.backbone.interpolation]
            batch = tv.resize(batch, [size], interpolation=mode, antialias=True)
        return tv.center_crop(batch, [size, size]) if max(batch.shape[2:]) != size else batch

    def _flip(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        if self._ctx.augment != "flip" or not self._ctx.horizontal_flip:
            return batch
        chosen = torch.rand(len(batch), generator=generator) < 0.5
        mask = chosen.to(batch.device).view(-1, 1, 1, 1)
        return torch.where(mask, batch.flip(3), batch)

    def _distort(self, batch: Tensor, generator: torch.Generator | None) -> Tensor:
        # torchvision's transforms draw from the global generator, so it is set and given back.
        seed: Any = torch.randint(2**31, (1,), generator=generator).item()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return torch.stack([self._strong(image) for image in batch])
