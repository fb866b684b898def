"""A small data set, a small detector, and a catalog with this plugin, installed or not."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
from sftbench_detection.backbones import SsdLite
from sftbench_detection.datasets.scenes import Scenes

from sftbench.api import DatasetInfo, Examples, Split
from sftbench.catalog import BUILTIN
from sftbench.discovery import GROUP, build_catalog

CATALOG = build_catalog(
    [
        EntryPoint(BUILTIN, "sftbench.builtin", GROUP),
        EntryPoint("sftbench-detection", "sftbench_detection", GROUP),
    ]
)


class FewScenes(Scenes):
    """The first scenes alone."""

    name = "few-scenes"
    summary = "a few scenes, for tests"

    def load(self, split: Split, image_size: int) -> Examples:
        whole = super().load(split, image_size)
        num = self.info().num_train if split == "train" else self.info().num_test
        parts = (whole.inputs, whole.targets, whole.truth, whole.class_counts)
        inputs, targets, truth, counts = (np.asarray(part)[:num] for part in parts)
        return Examples(inputs, targets, truth=truth, class_counts=counts)

    def info(self) -> DatasetInfo:
        return replace(super().info(), name=self.reference, num_train=48, num_test=16)


class NarrowSsdLite(SsdLite):
    """On the smallest body."""

    name = "ssdlite"
    example = "mobilenetv3_small_050"
