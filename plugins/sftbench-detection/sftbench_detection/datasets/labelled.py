"""Image files with boxes, made into examples: every image fitted into a square, none distorted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sftbench.api import Examples, Split, UnavailableError
from sftbench.builtin.datasets.decoding import DECODER_VERSION, each_readable, read_image
from sftbench.names import one_line, shown
from sftbench_detection.layout import MOST_OBJECTS, Boxes, counts_of, rarest, truth_of

if TYPE_CHECKING:
    from PIL import Image

USUAL_SIZE: Final = 320
"""Pixels of the square that photographs are fitted into when nobody says."""

_GROUND: Final = 114  # a grey near the mean of photographs
_ROOM: Final = 1.0  # pixels by which a box may stand out of its image: rounding


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image file and its objects.

    Attributes:
        file: The image.
        boxes: Its objects.
        problem: Why it cannot be taken, `FILE: why`; empty where it can.
    """

    file: Path
    boxes: Boxes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A data set before its images are decoded.

    Attributes:
        class_names: In the order of the class indices.
        parts: The images of both splits.
        told: How the splits came about, for people.
    """

    class_names: tuple[str, ...]
    parts: Mapping[Split, Sequence[Labelled]]
    told: str = ""


class Objects:
    """Collects the objects of one image; what is no box is refused with its place.

    Args:
        where: Names the file that the boxes are written in.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        lenient: Leave out boxes without an area, as torchvision's training does, in place of
            refusing them.

    Attributes:
        problem: The first mistake, `FILE: why`; empty where there is none.
    """

    def __init__(self, where: str, width: int, height: int, *, lenient: bool = False) -> None:
        self._where = where
        self._size = width, height
        self._lenient = lenient
        self._rows: list[tuple[float, ...]] = []
        self.problem = ""

    def add(
        self, what: str, box: object, label: int, *, area: object = None, crowd: bool = False
    ) -> None:
        """Add one object.

        Args:
            what: Names it, for messages.
            box: x, y, width, height in pixels, as it is written.
            label: Class index.
            area: In pixels, as it is written; None: that of the box.
            crowd: Whether it is neither to be found nor missed.
        """
        taken, why = self._taken(box)
        if taken is None:
            if not (self._lenient and why == _NO_AREA) and not self.problem:
                self.problem = f"{self._where}: {what}: {why}"
            return
        if area is None:
            area = taken[2] * taken[3]
        if not _is_number(area) or float(area) < 0:  # type: ignore[arg-type]
            self.problem = self.problem or f"{self._where}: {what}: area {shown(area)}"
            return
        self._rows.append((*taken, label, float(area), crowd))  # type: ignore[arg-type]

    def boxes(self) -> Boxes:
        """Return what was added."""
        width, height = self._size
        if len(self._rows) > MOST_OBJECTS and not self.problem:
            found = f"{len(self._rows)} objects in one image"
            self.problem = f"{self._where}: {found}; {MOST_OBJECTS} is the most"
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 7)
        return Boxes(
            width=width,
            height=height,
            boxes=rows[:, :4],
            classes=rows[:, 4].astype(np.int64),
            areas=rows[:, 5],
            crowd=rows[:, 6] > 0,
        )

    def _taken(self, box: object) -> tuple[tuple[float, float, float, float] | None, str]:
        """Return a box within the image, or None and why."""
        if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(_is_number, box)):
            return None, f"bbox {shown(box)} is not four numbers: x, y, width, height"
        x, y, width, height = map(float, box)
        if width <= 0 or height <= 0:
            return None, _NO_AREA
        most = self._size[0], self._size[1]
        outside = x < -_ROOM or y < -_ROOM
        outside |= x + width > most[0] + _ROOM or y + height > most[1] + _ROOM
        if outside:
            return None, f"bbox {shown(box)} stands out of the image of {most[0]} x {most[1]}"
        right, lower = min(x + width, most[0]), min(y + height, most[1])
        x, y = max(x, 0.0), max(y, 0.0)
        if right <= x or lower <= y:
            return None, _NO_AREA
        return (x, y, right - x, lower - y), ""


_NO_AREA: Final = "its bbox has no area"


def examples_of(listing: Listing, split: Split, image_size: int) -> Examples:
    """Decode the images of a split, each fitted into a square at its top left.

    Args:
        listing: Of the data set.
        split: `train` or `test`.
        image_size: S, in pixels.

    Returns:
        Images uint8 [N, S, S, 3] and truth, as `layout` describes.
    """
    part, num_classes = listing.parts[split], len(listing.class_names)
    images = np.empty((len(part), image_size, image_size, 3), dtype=np.uint8)

    def read(index: int) -> None:
        one = part[index]
        if one.problem:
            raise UnavailableError(one.problem)
        images[index] = read_image(one.file, lambda image: fitted(image, one.boxes, image_size))

    kept, unreadable = each_readable(len(part), read)
    boxes = [part[index].boxes for index in kept.tolist()]
    trained = counts_of([one.boxes for one in listing.parts["train"]], num_classes)
    counts = counts_of(boxes, num_classes)
    return Examples(
        inputs=images[kept] if unreadable else images,
        targets=rarest(counts, trained.sum(axis=0)),
        unreadable=unreadable,
        truth=truth_of(boxes, num_classes, image_size),
        class_counts=counts,
    )


def fitted(image: Image.Image, boxes: Boxes, size: int) -> NDArray[np.uint8]:
    """Return an image as RGB uint8 [S, S, 3], its longer side resized to S, the rest grey.

    Raises:
        ValueError: It has not the size that its boxes are for, or more than 8 bits a channel.
    """
    from PIL import Image

    if image.size != (boxes.width, boxes.height):
        said = f"its annotations say {boxes.width} x {boxes.height}"
        raise ValueError(f"{image.size[0]} x {image.size[1]} pixels, {said}")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{image.mode} has more than 8 bits a channel; convert it to 8")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    square = np.full((size, size, 3), _GROUND, dtype=np.uint8)
    square[:height, :width] = np.asarray(small)
    return square


def key_of(reference: str, listing: Listing, split: Split, image_size: int) -> str:
    """Return a hash over names, sizes and times of the images, and over all boxes.

    Raises:
        UnavailableError: A file is missing.
    """
    hasher = hashlib.sha256(f"{reference} {split} {image_size} {DECODER_VERSION}".encode())
    for name in listing.class_names:
        hasher.update(f"{name}\n".encode())
    for part in ("train", "test"):
        for one in listing.parts[part]:
            for array in (one.boxes.boxes, one.boxes.classes, one.boxes.areas, one.boxes.crowd):
                hasher.update(np.ascontiguousarray(array).tobytes())
            hasher.update(f"{one.boxes.width} {one.boxes.height} {one.problem}\n".encode())
    for one in listing.parts[split]:
        try:
            state = one.file.stat()
        except OSError as error:
            where = one_line(str(one.file), 1000)
            raise UnavailableError(f"{where}: {error.strerror}") from None
        hasher.update(f"{one.file}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return hasher.hexdigest()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False
