"""Masks: what follows from them for an example, and reading them from files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sftbench.api import Examples
from sftbench.builtin.datasets.decoding import each_readable, read_image, square_rgb
from sftbench_segmentation.confusion import IGNORED

if TYPE_CHECKING:
    from PIL import Image

_INDEXED = {"L", "P", "1"}

Masks = NDArray[np.uint8]
Recode = Callable[[Masks], Masks]
"""Makes class indices of a file's numbers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one example."""

    image: Path
    mask: Path


def examples_of(
    images: NDArray[np.uint8], masks: Masks, num_classes: int, unreadable: tuple[str, ...] = ()
) -> Examples:
    """Return examples of images [N, H, W, 3] and masks [N, H, W].

    The target of an image is the class with most pixels in it, the background (class 0) only where
    it has no other; counts are 1 for each class that it has.
    """
    counts = np.zeros((len(masks), num_classes), dtype=np.int64)
    for index, mask in enumerate(masks):
        counts[index] = np.bincount(mask.reshape(-1), minlength=IGNORED + 1)[:num_classes]
    targets = np.where(counts[:, 1:].any(axis=1), 1 + counts[:, 1:].argmax(axis=1), 0).astype(
        np.int64
    )
    return Examples(
        images,
        targets,
        unreadable=unreadable,
        truth=masks,
        class_counts=(counts > 0).astype(np.int64),
    )


def read_pairs(
    pairs: Sequence[Pair], image_size: int, num_classes: int, recode: Recode | None = None
) -> Examples:
    """Decode images and masks to squares, whole or not at all.

    Images as the core's `decode` does; of masks the nearest pixel of the same places.

    Args:
        pairs: Image and mask of each example.
        image_size: S, in pixels.
        num_classes: C; a mask has 0 to C - 1, and 255 where a pixel is ignored.
        recode: Makes that of the file's numbers, or raises ValueError; None: they are that.
    """
    images = np.empty((len(pairs), image_size, image_size, 3), dtype=np.uint8)
    masks = np.empty((len(pairs), image_size, image_size), dtype=np.uint8)

    def read(index: int) -> None:
        pair = pairs[index]
        square, size = read_image(pair.image, lambda one: (square_rgb(one, image_size), one.size))

        def indices(one: Image.Image) -> Masks:
            numbers = _numbers(one, size, pair.image)
            return checked(numbers if recode is None else recode(numbers), num_classes)

        images[index], masks[index] = square, squared(read_image(pair.mask, indices), image_size)

    kept, unreadable = each_readable(len(pairs), read)
    if unreadable:
        images, masks = images[kept], masks[kept]
    return examples_of(images, masks, num_classes, unreadable)


def checked(mask: Masks, num_classes: int) -> Masks:
    """Return a mask whose every number is a class or ignored.

    Raises:
        ValueError: One is not.
    """
    known = (mask < num_classes) | (mask == IGNORED)
    if not known.all():
        raise ValueError(
            f"class {mask[~known].min()}; the classes are 0 to {num_classes - 1}, and {IGNORED} "
            "is ignored"
        )
    return mask


def squared(mask: Masks, size: int) -> Masks:
    """Return the nearest pixels [S, S] of a mask [H, W]: shorter side resized, centre cropped."""
    rows, columns = nearest(mask.shape[0], mask.shape[1], size)
    found: Masks = mask[np.ix_(rows, columns)]
    return found


def nearest(height: int, width: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which rows and columns of [H, W] are nearest to those of its square [S, S].

    The square is that of images: shorter side resized to S, centre cropped, with torchvision's
    rounding.
    """
    short = min(height, width)
    found = []
    for length in (height, width):
        resized = size * length // short
        first = round((resized - size) / 2)
        places = (np.arange(first, first + size) + 0.5) * (length / resized)
        found.append(places.astype(np.int64).clip(0, length - 1))
    return found[0], found[1]


def _numbers(mask: Image.Image, size: tuple[int, int], image: Path) -> Masks:
    """Return a mask's numbers uint8 [H, W]: of a palette the indices, not the colours.

    Raises:
        ValueError: It is a picture in colour, or not of its image's size.
    """
    if mask.mode not in _INDEXED:
        raise ValueError(f"a mask of mode {mask.mode}; expected one number of 8 bits a pixel")
    if mask.size != size:
        raise ValueError(
            f"{mask.size[0]} x {mask.size[1]} pixels; its image {image.name} has "
            f"{size[0]} x {size[1]}"
        )
    numbers: Any = np.asarray(mask)
    return np.ascontiguousarray(numbers, dtype=np.uint8)
