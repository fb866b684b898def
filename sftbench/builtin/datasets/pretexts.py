"""Pretexts: tasks made of the images of another data set alone, for training without labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from sftbench.api import (
    Component,
    Dataset,
    DatasetInfo,
    Examples,
    Kind,
    Options,
    RequestError,
    Split,
)

_TURNS = ("0", "90", "180", "270")


class PretextOptions(Options):
    """`source`: reference of the data set whose images are used, `folder:PATH` too."""

    source: str = Field(min_length=1)


class _Pretext(Dataset):
    """What the pretexts share: the data set that they are made of."""

    options_model = PretextOptions
    argument = "source"
    example: ClassVar[str | None] = "digits"
    pretext: ClassVar[bool] = True
    options: PretextOptions
    source: Dataset

    def bind(self, create: Callable[[Kind, str], Component]) -> None:
        """Find the data set whose images are used.

        Raises:
            RequestError: It is unknown, or a pretext itself.
        """
        if self.options.source.partition(":")[0] in {Rotation.name, SimClr.name}:
            raise RequestError(f"dataset {self.name!r} takes a data set with images, not a pretext")
        source = create("dataset", self.options.source)
        assert isinstance(source, Dataset)  # noqa: S101 - the catalog checked the class
        self.source = source
        if source.algorithm_version != 1:  # other images make another pretext
            version = 1000 * type(self).algorithm_version + source.algorithm_version
            vars(self)["algorithm_version"] = version

    def images_of(self) -> Dataset:
        """Return the source."""
        return self.source

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return the source's: where its images take long to decode, so do these."""
        key = self.source.cache_key(split, image_size)
        return None if key is None else f"{self.source.algorithm_version} {key}"


class Rotation(_Pretext):
    """Every image four times, turned by 0, 90, 180 and 270 degrees; the turn is the label.

    The four views of an image stay on one side of the line between training and validation.

    Source: Gidaris, Singh and Komodakis 2018, arXiv:1803.07728.
    """

    name = "rotation"
    summary = "by how much an image of another data set was turned: a pretext without labels"

    def info(self) -> DatasetInfo:
        """Describe the source, with the four turns as classes."""
        info = self.source.info()
        return replace(
            info,
            name=self.reference,
            task="image-classification",
            class_names=_TURNS,
            num_train=len(_TURNS) * info.num_train,
            num_test=len(_TURNS) * info.num_test,
            # A mirrored image is not turned otherwise, but a mirrored quarter turn is.
            horizontal_flip=False,
            limit_train=None if info.limit_train is None else len(_TURNS) * info.limit_train,
            limit_test=None if info.limit_test is None else len(_TURNS) * info.limit_test,
            source=f"images of {info.name}, turned; its labels are not read",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return uint8 [4 N, S, S, C]; images that are not square are cropped to their centre."""
        examples = self.source.load(split, image_size)
        images = np.asarray(examples.inputs)
        side = min(images.shape[1:3])
        top, left = (images.shape[1] - side) // 2, (images.shape[2] - side) // 2
        squares = images[:, top : top + side, left : left + side]
        turned = np.empty((len(images), len(_TURNS), side, side, images.shape[3]), np.uint8)
        for turn in range(len(_TURNS)):
            turned[:, turn] = np.rot90(squares, turn, axes=(1, 2))
        count = len(images)
        # What must stay together in the source stays together here.
        groups = np.arange(count, dtype=np.int64) if examples.groups is None else examples.groups
        return Examples(
            inputs=turned.reshape(-1, side, side, images.shape[3]),
            targets=np.tile(np.arange(len(_TURNS), dtype=np.int64), count),
            unreadable=examples.unreadable,
            groups=np.repeat(groups, len(_TURNS)),
        )


class SimClr(_Pretext):
    """The images of another data set for the task `contrastive`: which two views are of one image.

    Source: Chen, Kornblith, Norouzi and Hinton 2020, arXiv:2002.05709.
    """

    name = "simclr"
    summary = "which two views are of one image of another data set: a pretext without labels"

    def info(self) -> DatasetInfo:
        """Describe the source, without its classes."""
        info = self.source.info()
        return replace(
            info,
            name=self.reference,
            task="contrastive",
            class_names=("image",),
            source=f"images of {info.name}; its labels are not read",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return the images of the source; every target is 0."""
        examples = self.source.load(split, image_size)
        return replace(examples, targets=np.zeros(len(examples.targets), dtype=np.int64))
