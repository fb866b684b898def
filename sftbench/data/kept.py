"""Images that stay on the device once they were there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_CHUNK_BYTES = 64 << 20


class KeptImages:
    """Squares of images, brought to the device when they are first asked for, or many at once.

    Args:
        num_images: N, of the split.
        compute: Maps indices int64 [B] (CPU) to images uint8 [B, C, H, W] on the device; each
            image depends on its index alone.
        expected: How many of them will be asked for, as far as is known.
        most: How many are kept; further ones are computed each time.
        channels_last: How they lie in memory.
    """

    def __init__(
        self,
        num_images: int,
        compute: Callable[[Tensor], Tensor],
        *,
        expected: int,
        most: int,
        channels_last: bool,
    ) -> None:
        self._most = min(most, num_images)
        self._expected = expected
        self._compute = compute
        self._last = channels_last
        self._slots = torch.full((num_images,), -1, dtype=torch.int64)
        self._count = 0
        self._images: Tensor | None = None

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return uint8 [B, C, H, W] of indices int64 [B] (CPU)."""
        slots = self._slots[indices]
        if bool((slots < 0).any()):
            self.keep(indices)
            slots = self._slots[indices]
        images = self._images
        if images is None or bool((slots < 0).any()):
            return self._compute(indices)  # there is no room for all of them
        chosen = images.index_select(0, slots.to(images.device))
        return chosen.permute(0, 3, 1, 2) if self._last else chosen

    def keep(self, indices: Tensor) -> None:
        """Bring images to the device in large parts, as far as there is room."""
        missing = torch.unique(indices[self._slots[indices] < 0])[: self._most - self._count]
        if len(missing) == 0:
            return
        done = 0
        step = 1  # of the first, the size of one is learned
        while done < len(missing):
            some = missing[done : done + step]
            found = self._compute(some)
            if self._last:
                found = found.permute(0, 2, 3, 1)
            images = self._room(found, len(missing))
            images[self._count : self._count + len(some)] = found
            self._slots[some] = torch.arange(self._count, self._count + len(some))
            self._count += len(some)
            done += len(some)
            step = max(1, _CHUNK_BYTES // found[0].nbytes)

    def _room(self, found: Tensor, num: int) -> Tensor:
        """Return the memory of all images, large enough for `num` more."""
        images = self._images
        if images is None:
            # Not initialised: a CPU hands out pages of it only as images are written.
            size = min(self._most, max(self._expected, num))
            images = found.new_empty((size, *found.shape[1:]))
        elif self._count + len(found) > len(images):
            size = min(self._most, max(2 * len(images), self._count + num))
            images = torch.cat([images, images.new_empty((size - len(images), *images.shape[1:]))])
        self._images = images
        return images
