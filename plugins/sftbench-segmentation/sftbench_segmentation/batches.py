"""Images and their masks on the device: moved together, whatever moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sftbench.api import BatchContext, BatchSource, ImageBatches, View
from sftbench_segmentation.confusion import IGNORED
from sftbench_segmentation.masks import nearest

_PADDING = 8  # a crop is padded by this fraction of its side, as the core's


class MaskBatches(BatchSource):
    """A `BatchSource` over uint8 images and masks.

    Images are resized as the core does it (shorter side, antialiased, then a centre crop), masks
    to the nearest pixel of the same places. A weak or strong view is mirrored, or cropped out of
    a padded frame, image and mask alike; what the frame adds is black, and ignored.

    Args:
        images: uint8 [N, H, W, C] with C = 1 or 3.
        masks: uint8 [N, H, W], class indices, 255 ignored.
        ctx: Device, size, normalisation, augmentation, placement.
    """

    def __init__(
        self, images: NDArray[np.uint8], masks: NDArray[np.uint8], ctx: BatchContext
    ) -> None:
        self._images = ImageBatches(images, ctx)
        self.placement = self._images.placement
        self._masks = masks
        self._ctx = ctx
        height, width = masks.shape[1:]
        rows, columns = nearest(height, width, ctx.image_size)
        self._places = np.ix_(rows, columns)
        self._is_exact = height == width == ctx.image_size

    def __len__(self) -> int:
        """Return the number of images of the split."""
        return len(self._images)

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Bring these images to the device, or begin to read them."""
        self._images.announce(batches)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return images float32 [B, 3, S, S], normalised."""
        return self.batch(indices, indices, view, generator)[0]

    def targets(self, indices: Tensor, labels: Tensor) -> Tensor:
        """Return masks int64 [B, S, S] of plain views."""
        return self._read(indices).long()

    def batch(
        self, indices: Tensor, labels: Tensor, view: View, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return images float32 [B, 3, S, S] and masks int64 [B, S, S], seen alike."""
        pixels, masks = self._images.pixels(indices), self._read(indices)
        if view != "plain":
            if self._ctx.augment == "crop":
                padding = self._ctx.image_size // _PADDING
                offsets = torch.randint(0, 2 * padding + 1, (2, len(indices)), generator=generator)
                pixels, masks = _cropped(pixels, masks, offsets, padding)
            if self._ctx.augment != "none" and self._ctx.horizontal_flip:
                flips = torch.rand(len(indices), generator=generator) < 0.5
                pixels, masks = _mirrored(pixels, flips), _mirrored(masks, flips)
        return self._images.normalised(pixels), masks.long()

    def _read(self, indices: Tensor) -> Tensor:
        """Return masks uint8 [B, S, S] on the device."""
        some = self._masks[indices.numpy()]
        if not self._is_exact:
            some = some[:, *self._places]
        return torch.from_numpy(np.ascontiguousarray(some)).to(self._ctx.device)


def _mirrored(batch: Tensor, flips: Tensor) -> Tensor:
    """Return a batch [B, ..., W] with those of `flips` (bool [B], CPU) mirrored."""
    chosen = flips.to(batch.device).view(-1, *(1,) * (batch.ndim - 1))
    return torch.where(chosen, batch.flip(-1), batch)


def _cropped(pixels: Tensor, masks: Tensor, offsets: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Pad images with black and masks with ignored pixels; crop both at offsets int64 [2, B]."""
    size = masks.shape[-1]
    frame = (padding, padding, padding, padding)
    wide, known = F.pad(pixels, frame), F.pad(masks, frame, value=IGNORED)
    windows = [
        (slice(top, top + size), slice(left, left + size)) for top, left in offsets.T.tolist()
    ]
    return (
        torch.stack(
            [image[:, rows, columns] for image, (rows, columns) in zip(wide, windows, strict=True)]
        ),
        torch.stack(
            [mask[rows, columns] for mask, (rows, columns) in zip(known, windows, strict=True)]
        ),
    )
