"""Composed scenes with exact masks: real items, and nothing to download."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from sftbench.api import (
    Component,
    Dataset,
    DatasetInfo,
    Examples,
    Kind,
    Published,
    Split,
    compose_scenes,
)
from sftbench_segmentation.masks import examples_of

_ITEMS = "fashion-mnist-mini"
_PIXELS = 96
_SIZES: dict[Split, int] = {"train": 400, "test": 200}
_SEEDS: dict[Split, int] = {"train": 1, "test": 2}


class SceneMasks(Dataset):
    """Clothes of Fashion-MNIST on cluttered grounds, 1 to 4 a scene, 96 x 96 pixels.

    Training scenes are made of training images, test scenes of test images, with seeds of their
    own. The classes are the background and the ten kinds of clothes.
    """

    name = "scene-masks"
    summary = "400 + 200 composed scenes of ten kinds of clothes, 96 x 96, exact masks"
    published = Published(
        num_classes=11,
        num_train=_SIZES["train"],
        num_test=_SIZES["test"],
        images="96 x 96 colour",
        licence="MIT",
        citation="composed of Fashion-MNIST: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
    )
    _items: Dataset

    def bind(self, create: Callable[[Kind, str], Component]) -> None:
        """Find the data set whose images are the items."""
        self._items = cast(Dataset, create("dataset", _ITEMS))

    def info(self) -> DatasetInfo:
        """Describe the scenes without composing any."""
        source = self._items.info()
        return DatasetInfo(
            name=self.reference,
            class_names=("background", *source.class_names),
            num_train=_SIZES["train"],
            num_test=_SIZES["test"],
            task="segmentation",
            horizontal_flip=True,
            image_size=_PIXELS,
            licence=source.licence,
            citation=source.citation,
            source=f"composed by seed of images of {source.name}",
        )

    def where(self) -> str:
        """Say that it is composed here."""
        return "composed when it is read"

    def load(self, split: Split, image_size: int) -> Examples:
        """Return scenes uint8 [N, 96, 96, 3] and their masks."""
        items = self._items.load(split, _PIXELS)
        greys = np.asarray(items.inputs)[..., 0]
        scenes = compose_scenes(
            greys, items.targets, num=_SIZES[split], size=_PIXELS, seed=_SEEDS[split]
        )
        masks = [
            # 0 is the ground, and class k of the items is class k + 1 here.
            np.concatenate([[0], scene.labels + 1]).astype(np.uint8)[scene.mask]
            for scene in scenes
        ]
        num_classes = len(self.info().class_names)
        return examples_of(np.stack([one.image for one in scenes]), np.stack(masks), num_classes)
