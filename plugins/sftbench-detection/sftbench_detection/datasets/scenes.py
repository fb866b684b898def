"""Scenes composed of real items: small, exact, and here without a download."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from sftbench.api import (
    Dataset,
    DatasetInfo,
    Examples,
    Published,
    Scene,
    Split,
    UnavailableError,
    compose_scenes,
)
from sftbench.builtin.datasets.embedded_files import (
    FASHION_MNIST_CLASS_NAMES,
    load_fashion_mnist_mini,
)
from sftbench_detection.layout import Boxes, counts_of, rarest, truth_of

_SIZE: Final = 128
_NUM: Final = {"train": 1200, "test": 400}
_SEEDS: Final = {"train": 11, "test": 12}
_CITATION: Final = "Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747"


class Scenes(Dataset):
    """One to four items of Fashion-MNIST, tinted and scaled, on cluttered grounds of 128 pixels.

    Items of training scenes are those of `fashion-mnist-mini`'s training split, items of test
    scenes those of its test split. Boxes hold what is seen of an item, to the pixel.
    """

    name = "scene-boxes"
    summary = "1,200 + 400 scenes composed of items of Fashion-MNIST, 128 pixels, exact boxes"
    published = Published(
        num_classes=10,
        num_train=_NUM["train"],
        num_test=_NUM["test"],
        images="128 x 128 colour",
        licence="MIT",
        citation=_CITATION,
        homepage="https://github.com/zalandoresearch/fashion-mnist",
    )

    def info(self) -> DatasetInfo:
        """Describe the data without composing it."""
        return DatasetInfo(
            name=self.reference,
            class_names=FASHION_MNIST_CLASS_NAMES,
            num_train=_NUM["train"],
            num_test=_NUM["test"],
            task="detection",
            horizontal_flip=True,
            image_size=_SIZE,
            licence="MIT",
            citation=_CITATION,
            source="composed here of the items of fashion-mnist-mini",
        )

    def where(self) -> str:
        """Say that it comes with the package."""
        return "composed by sftbench-detection"

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, 128, 128, 3] with their truth, the same every time.

        Raises:
            UnavailableError: The packaged items are missing or damaged.
        """
        try:
            scenes = {name: _composed(name) for name in ("train", "test")}
        except (OSError, ValueError) as error:
            raise UnavailableError(f"{self.name}: {error}; install sftbench again") from error
        boxes = {name: [_boxes(scene) for scene in found] for name, found in scenes.items()}
        num_classes = len(FASHION_MNIST_CLASS_NAMES)
        train_counts = counts_of(boxes["train"], num_classes).sum(axis=0)
        counts = counts_of(boxes[split], num_classes)
        return Examples(
            inputs=np.stack([scene.image for scene in scenes[split]]),
            targets=rarest(counts, train_counts),
            truth=truth_of(boxes[split], num_classes, _SIZE),
            class_counts=counts,
        )


@cache
def _composed(split: Split) -> tuple[Scene, ...]:
    arrays = load_fashion_mnist_mini()
    items, labels = (
        (arrays.train_images, arrays.train_labels)
        if split == "train"
        else (arrays.test_images, arrays.test_labels)
    )
    return tuple(compose_scenes(items, labels, num=_NUM[split], size=_SIZE, seed=_SEEDS[split]))


def _boxes(scene: Scene) -> Boxes:
    """Return a scene's objects; the area is that of what is seen, as COCO's of masks."""
    corners = scene.boxes.astype(np.float64).reshape(-1, 4)
    areas = np.bincount(scene.mask.ravel(), minlength=1 + len(scene.labels))[1:]
    return Boxes(
        width=_SIZE,
        height=_SIZE,
        boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        classes=scene.labels,
        areas=areas.astype(np.float64),
        crowd=np.zeros(len(scene.labels), dtype=bool),
    )
