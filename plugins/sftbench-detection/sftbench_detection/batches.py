"""Images and their boxes on the device; a mirrored image takes its boxes along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from sftbench.api import BatchContext, BatchSource, Examples, ImageBatches, RequestError, View
from sftbench_detection.layout import MOST_OBJECTS, OBJECT


@dataclass(frozen=True, slots=True)
class Truth:
    """The objects of a batch, in pixels of its images.

    Attributes:
        rows: float32 [B, 1 + M, 7], as `layout` describes; its square is that of the images.
        size: Pixels of the square's sides.
    """

    rows: Tensor
    size: int

    def objects(self, image: int) -> Tensor:
        """Return the objects of one image, float32 [n, 7]."""
        return self.rows[image, 1 : 1 + int(self.rows[image, 0, 4])]


class BoxBatches(BatchSource):
    """A `BatchSource` over square images with boxes.

    Views: `plain` as they are, `weak` mirrored half of the time where the protocol's `augment` is
    `flip`, `strong` as weak.

    Args:
        examples: Images uint8 [N, S, S, C], truth float32 [N, 1 + M, 7].
        ctx: Device, size, normalisation, augmentation, placement.

    Raises:
        RequestError: They are not in this form.
    """

    def __init__(self, examples: Examples, ctx: BatchContext) -> None:
        images, truth = np.asarray(examples.inputs), examples.truth
        form = f"{images.dtype} {list(images.shape)}"
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2]:
            raise RequestError(f"images for detection are uint8 [N, S, S, 1 or 3], not {form}")
        if not isinstance(truth, np.ndarray) or truth.ndim != 3 or truth.shape[2] != OBJECT:
            raise RequestError(f"truth for detection is an array [N, 1 + M, {OBJECT}]")
        if truth.shape[1] - 1 > MOST_OBJECTS:
            raise RequestError(
                f"an image has {truth.shape[1] - 1} objects; {MOST_OBJECTS} is the most"
            )
        if ctx.erasing > 0:
            raise RequestError("task 'detection' does not erase parts of images; set erasing = 0")
        factor = ctx.image_size / images.shape[1]
        rows = torch.from_numpy(np.array(truth, dtype=np.float32))
        rows[:, 0, 1] *= factor
        rows[:, 1:, 1:5] *= factor
        self._rows = rows.to(ctx.device)
        self._size = ctx.image_size
        self._flips = ctx.augment == "flip" and ctx.horizontal_flip
        self._images = ImageBatches(images, replace(ctx, augment="none", erasing=0.0))
        self.placement = self._images.placement
        self.notes: Mapping[str, int] = MappingProxyType({})

    def __len__(self) -> int:
        """Return the number of images of the split."""
        return len(self._images)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return float32 [B, 3, S, S], normalised."""
        return self._seen(indices, view, generator)[0]

    def targets(self, indices: Tensor, labels: Tensor) -> Truth:
        """Return the objects as plain views show them."""
        return Truth(self._rows[indices.to(self._rows.device)], self._size)

    def batch(
        self, indices: Tensor, labels: Tensor, view: View, generator: torch.Generator | None
    ) -> tuple[Tensor, Truth]:
        """Return images and objects, mirrored together."""
        images, flips = self._seen(indices, view, generator)
        truth = self.targets(indices, labels)
        if flips is None:
            return images, truth
        rows = truth.rows.clone()
        boxes = rows[:, 1:]
        mirrored = (boxes[..., 3] > 0) & flips.to(rows.device)[:, None]
        boxes[..., 1] = torch.where(
            mirrored, self._size - boxes[..., 1] - boxes[..., 3], boxes[..., 1]
        )
        return images, Truth(rows, self._size)

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Pass on what will be asked for."""
        self._images.announce(batches)

    def _seen(
        self, indices: Tensor, view: View, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the images, and which are mirrored, bool [B] (CPU); None where none may be."""
        images = self._images.inputs(indices, "plain", None)
        if view == "plain" or not self._flips:
            return images, None
        flips = torch.rand(len(indices), generator=generator) < 0.5
        chosen = flips.to(images.device)
        images[chosen] = images[chosen].flip(-1)
        return images, flips
