"""How boxes lie in arrays: the truth of a data set, and what is kept of each image.

**Truth** (`Examples.truth`) is float32 [N, 1 + M, 7]. Row 0 of an image is

    classes, scale, width, height, objects, 0, 0

with the classes of the data set, the factor from the image as it was published to the square that
holds it (at its top left), and the published size in pixels. Each following row is an object

    class, x, y, width, height, area, crowd

in pixels of the square, but for `area`, which is in published pixels (COCO's areas are those of
masks) and decides what is small. `crowd` is 1 for a region that is neither to be found nor missed:
COCO's crowds, VOC's difficult objects. Rows behind the objects are 0.

**Kept** (`Predictions.outputs`) is float32 [N, 4 + 100 x 6 + 300 x 7], all in published pixels:

    classes, width, height, 0
    100 x (class, score, x, y, width, height)       the highest score first
    300 x (class, x, y, width, height, area, crowd)

Where there are fewer, rows of zeros follow: a detection has a score above 0, an object a width
above 0. From this alone every metric is computed anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_DETECTIONS: Final = 100
"""Detections of an image that count, as in COCO's metrics."""

MOST_OBJECTS: Final = 300
"""Objects of an image that can be kept."""

OBJECT: Final = 7
DETECTION: Final = 6
HEADER: Final = 4
KEPT_WIDTH: Final = HEADER + MOST_DETECTIONS * DETECTION + MOST_OBJECTS * OBJECT


@dataclass(frozen=True, slots=True)
class Boxes:
    """The objects of one image, in pixels of the image as it was published.

    Attributes:
        width: Of the image.
        height: Of the image.
        boxes: float64 [n, 4], x, y, width, height.
        classes: int64 [n].
        areas: float64 [n].
        crowd: bool [n].
    """

    width: int
    height: int
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]


def truth_of(images: Sequence[Boxes], num_classes: int, size: int) -> NDArray[np.float32]:
    """Return truth float32 [N, 1 + M, 7] of images that are fitted into squares.

    Args:
        images: N of them; M is the most objects of one.
        num_classes: Of the data set.
        size: Pixels of the squares' sides.
    """
    most = max((len(one.classes) for one in images), default=0)
    truth = np.zeros((len(images), 1 + most, OBJECT), dtype=np.float32)
    for row, one in zip(truth, images, strict=True):
        scale, num = size / max(one.width, one.height), len(one.classes)
        row[0, :5] = num_classes, scale, one.width, one.height, num
        row[1 : num + 1, 0] = one.classes
        row[1 : num + 1, 1:5] = one.boxes * scale
        row[1 : num + 1, 5] = one.areas
        row[1 : num + 1, 6] = one.crowd
    return truth


def counts_of(images: Sequence[Boxes], num_classes: int) -> NDArray[np.int64]:
    """Return the objects of each class in each image, int64 [N, C]; crowds are none."""
    rows = [np.bincount(one.classes[~one.crowd], minlength=num_classes) for one in images]
    return np.array(rows, dtype=np.int64).reshape(len(images), num_classes)


def rarest(counts: NDArray[np.int64], train_counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a class for each image, int64 [N], by which splits are stratified.

    It is the one of its classes with the fewest training objects; of an image without an object
    the class with the most.

    Args:
        counts: int64 [N, C], objects of each class.
        train_counts: int64 [C], training objects in all.
    """
    order = np.argsort(train_counts, kind="stable")
    first = (counts[:, order] > 0).argmax(axis=1)
    found = order[first]
    targets: NDArray[np.int64] = np.where(counts.any(axis=1), found, order[-1]).astype(np.int64)
    return targets


@dataclass(frozen=True, slots=True)
class Kept:
    """Kept outputs, taken apart.

    Attributes:
        num_classes: C.
        detections: float64 [N, 100, 6].
        objects: float64 [N, 300, 7].
    """

    num_classes: int
    detections: NDArray[np.float64]
    objects: NDArray[np.float64]

    @classmethod
    def of(cls, outputs: NDArray[np.float32]) -> Kept:
        """Take float32 [N, W] apart.

        Raises:
            ValueError: It is not in this form.
        """
        if outputs.ndim != 2 or outputs.shape[1] != KEPT_WIDTH:
            raise ValueError(f"kept detections are [N, {KEPT_WIDTH}], not {list(outputs.shape)}")
        given = np.asarray(outputs, dtype=np.float64)
        classes = np.unique(given[:, 0])
        if len(classes) > 1 or not (classes == np.rint(classes)).all() or (classes < 1).any():
            raise ValueError(f"kept detections are of {classes.tolist()[:3]} classes")
        num = int(classes[0]) if len(classes) else 1
        middle = HEADER + MOST_DETECTIONS * DETECTION
        detections = given[:, HEADER:middle].reshape(-1, MOST_DETECTIONS, DETECTION)
        objects = given[:, middle:].reshape(-1, MOST_OBJECTS, OBJECT)
        for named in (detections[..., 0], objects[..., 0]):
            if not ((named >= 0) & (named < num) & (named == np.rint(named))).all():
                raise ValueError(f"a kept class is not one of 0..{num - 1}")
        return cls(num, detections, objects)
