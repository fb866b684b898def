"""Images on the device: resized once, then augmented and normalised in whole batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftbench.contracts.strategy import View
from sftbench.contracts.task import BatchContext, BatchSource
from sftbench.data.augment.policy import Augmentation
from sftbench.data.kept import KeptImages
from sftbench.data.placement import Need, choose
from sftbench.data.prefetch import Prefetch
from sftbench.data.stored import StoredImages, squared


class ImageBatches(BatchSource):
    """A `BatchSource` over uint8 images.

    Resizing is antialiased, shorter side first, then a centre crop; its result is rounded to
    uint8, as torchvision does for uint8 images. What fits the device is kept there; the rest is
    read anew each time, ahead where it was announced. Views are the same bits either way.

    Args:
        images: uint8 [N, H, W, C] with C = 1 or 3; one channel is repeated to three.
        ctx: Device, size, normalisation, augmentation, placement.
        processes: How many read what does not fit; None: chosen for the cores.

    Raises:
        MemoryError: They were to be on the device, and do not fit.
    """

    def __init__(
        self, images: NDArray[np.uint8], ctx: BatchContext, *, processes: int | None = None
    ) -> None:
        size, device = ctx.image_size, ctx.device
        num, height, width, channels = (int(length) for length in images.shape)
        self._ctx = ctx
        self._num = num
        self._augmentation = Augmentation(
            name=ctx.augment,
            size=size,
            flip=ctx.horizontal_flip,
            interpolation=ctx.backbone.interpolation,
            erasing=ctx.erasing,
        )
        self._source = StoredImages(images)
        # On a CPU images that are squares already, or whole ones, need not be kept: they are here.
        on_host, is_square = device.type == "cpu", height == width == size
        takes_whole = self._augmentation.takes_whole_images
        keeps_squares = not (on_host and is_square)
        keeps_whole = takes_whole and not (on_host or is_square)
        reads_on = on_host and self._source.is_mapped and (is_square or takes_whole)
        whole_bytes, square_bytes = channels * height * width, channels * size * size
        need = Need(
            rows=min(num, ctx.limit or num),
            kept_bytes=keeps_squares * square_bytes + keeps_whole * whole_bytes,
            read_bytes=reads_on * whole_bytes,
        )
        self.placement, most = choose(ctx.placement, need, device)
        self._squares = self._whole = None
        self._prefetch: Prefetch | None = None

        def kept(compute: Callable[[Tensor], Tensor]) -> KeptImages:
            last = ctx.channels_last
            return KeptImages(num, compute, expected=need.rows, most=most, channels_last=last)

        if self.placement == "stream":
            # Where the device is another one, it resizes: the same bits as of images it keeps.
            given = size if on_host and not takes_whole else None
            read = StoredImages(images, size=given, interpolation=ctx.backbone.interpolation)
            self._prefetch = Prefetch(read, device, processes)
        else:
            self._squares = kept(self._square_of) if keeps_squares else None
            self._whole = kept(self._read) if keeps_whole else None
            if takes_whole and is_square:
                self._whole = self._squares  # the same pixels
        self._scale, self._shift = self._normalisation()

    def __len__(self) -> int:
        """Return the number of images of the split."""
        return self._num

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Bring these to the device at once, where it keeps them; else begin to read them."""
        if self._prefetch is not None:
            if batches:
                self._prefetch.start(batches)
            else:
                self._prefetch.close()
        elif batches:
            first = self._whole if self._augmentation.takes_whole_images else self._squares
            if first is not None:
                first.keep(torch.cat(list(batches)))

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return float32 [B, 3, S, S], normalised, in the chosen memory format."""
        if view == "plain":
            return self.normalised(self.pixels(indices))
        how = self._augmentation
        batch = self._images(indices) if how.takes_whole_images else self.pixels(indices)
        return how.erased_(self.normalised(how.pixels(batch, view, generator)), generator)

    def pixels(self, indices: Tensor) -> Tensor:
        """Return uint8 [B, C, S, S], resized, before any augmentation."""
        if self._squares is not None:
            return self._squares[indices]
        return self._square(self._images(indices))

    def normalised(self, batch: Tensor) -> Tensor:
        """Return float32 [B, 3, S, S] of pixels [B, C, S, S] on the scale 0..255."""
        size = self._ctx.image_size
        last = self._ctx.channels_last
        result = torch.empty(
            (len(batch), 3, size, size),
            device=batch.device,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )
        result.copy_(batch)  # one channel is repeated
        return torch.addcmul(self._shift, result, self._scale, out=result)

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift of each value of an image, float32 [1, 3, S, S].

        They lie in memory as the images do: then normalising is one pass of long vectors.
        """
        look, size, device = self._ctx.backbone, self._ctx.image_size, self._ctx.device
        std = torch.tensor(look.std, device=device) * 255.0
        mean = torch.tensor(look.mean, device=device) * 255.0
        format_ = torch.channels_last if self._ctx.channels_last else torch.contiguous_format
        scale, shift = (
            values.view(1, 3, 1, 1).expand(1, 3, size, size).contiguous(memory_format=format_)
            for values in (1.0 / std, -mean / std)
        )
        return scale, shift

    def _images(self, indices: Tensor) -> Tensor:
        """Return uint8 [B, C, H, W] on the device, whole or resized by whoever read them."""
        if self._whole is not None:
            return self._whole[indices]
        ahead = None if self._prefetch is None else self._prefetch.take(indices)
        if ahead is None:
            return self._read(indices)
        return ahead.to(self._ctx.device, non_blocking=True)

    def _read(self, indices: Tensor) -> Tensor:
        return self._source.read(indices).to(self._ctx.device)

    def _square_of(self, indices: Tensor) -> Tensor:
        return self._square(self._read(indices))

    def _square(self, batch: Tensor) -> Tensor:
        return squared(batch, self._ctx.image_size, self._ctx.backbone.interpolation)
