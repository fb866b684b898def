"""What a protocol's `augment` and `erasing` do to a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from sftbench.contracts.strategy import View
from sftbench.data.augment.boxes import draw_crops, draw_erased
from sftbench.data.augment.crop import cropped, draw_flips, draw_offsets, flipped
from sftbench.data.augment.erase import erase_
from sftbench.data.augment.resample import Interpolation, resampled
from sftbench.data.augment.trivial import trivially_augmented

_PADDING = 8  # a crop is padded by this fraction of its side


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """The random changes of one split's images.

    Attributes:
        name: `none`, `flip`, `crop`, `resized-crop` or `trivial`.
        size: S, in pixels.
        flip: Whether a mirrored image keeps its label.
        interpolation: `bilinear` or `bicubic`.
        erasing: Probability of an image to lose a box.
    """

    name: str
    size: int
    flip: bool
    interpolation: Interpolation
    erasing: float = 0.0

    @property
    def takes_whole_images(self) -> bool:
        """Whether it starts from images as they were read, not from squares of S pixels."""
        return self.name == "resized-crop"

    def pixels(self, batch: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return [B, C, S, S] on the scale 0 to 255, as the view shows them.

        Args:
            batch: uint8 [B, C, S, S], or whole images [B, C, H, W] where it takes those.
            view: `weak`, or `strong`: weak, then TrivialAugment.
            generator: A CPU generator.
        """
        batch = _WEAK[self.name](self, batch, generator)
        return _trivial(batch, generator) if view == "strong" else batch

    def erased_(self, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Set a box of some normalised inputs [B, C, S, S] to 0, in place."""
        if self.erasing > 0:
            erase_(inputs, draw_erased(len(inputs), self.size, self.erasing, generator))
        return inputs

    def draw_flips(self, num: int, generator: torch.Generator | None) -> Tensor | None:
        """Return who is mirrored, bool [B]; None where nobody may be."""
        return draw_flips(num, generator) if self.flip else None


_Weak = Callable[[Augmentation, Tensor, torch.Generator | None], Tensor]


def _flip(how: Augmentation, batch: Tensor, generator: torch.Generator | None) -> Tensor:
    flips = how.draw_flips(len(batch), generator)
    return batch if flips is None else flipped(batch, flips)


def _crop(how: Augmentation, batch: Tensor, generator: torch.Generator | None) -> Tensor:
    padding = how.size // _PADDING
    offsets = draw_offsets(len(batch), padding, generator)
    return cropped(batch, offsets, padding, how.draw_flips(len(batch), generator))


def _resized_crop(how: Augmentation, batch: Tensor, generator: torch.Generator | None) -> Tensor:
    boxes = draw_crops(len(batch), batch.shape[2], batch.shape[3], generator)
    flips = how.draw_flips(len(batch), generator)
    return resampled(batch, boxes, how.size, how.interpolation, flips)


def _crop_and_trivial(
    how: Augmentation, batch: Tensor, generator: torch.Generator | None
) -> Tensor:
    return _trivial(_crop(how, batch, generator), generator)


def _trivial(batch: Tensor, generator: torch.Generator | None) -> Tensor:
    return trivially_augmented(batch.to(torch.uint8), generator)


_WEAK: Mapping[str, _Weak] = MappingProxyType(
    {
        "none": lambda _how, batch, _generator: batch,
        "flip": _flip,
        "crop": _crop,
        "resized-crop": _resized_crop,
        "trivial": _crop_and_trivial,
    }
)
