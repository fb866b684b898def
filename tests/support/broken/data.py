"""Data sets and variants that break a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from support.broken.noted import breaks

from sftbench.api import (
    DatasetInfo,
    Examples,
    Subset,
    Variant,
    VariantContext,
)
from sftbench.testing import (
    TinyImages,
)


@breaks("info is complete", "info().name is 'other', not the reference 'tiny-images'")
class AnotherName(TinyImages):
    def info(self) -> DatasetInfo:
        return replace(super().info(), name="other")


@breaks("sizes are as info says", "train has 64 inputs and 64 targets; info says 65")
class Miscounted(TinyImages):
    def info(self) -> DatasetInfo:
        return replace(super().info(), num_train=65)


@breaks("inputs have the form of the task", "train inputs are float64 [64, 12, 12, 3]")
class FloatImages(TinyImages):
    def load(self, split: Any, image_size: int) -> Examples:
        given = super().load(split, image_size)
        return Examples(np.asarray(given.inputs) / 255, given.targets)  # type: ignore[arg-type]


@breaks("targets are class indices", "test targets are 0..7, not in 0..3")
class TargetTooHigh(TinyImages):
    def load(self, split: Any, image_size: int) -> Examples:
        given = super().load(split, image_size)
        return replace(given, targets=given.targets * 7 // 3 if split == "test" else given.targets)


@breaks("targets are class indices", "class 2 has no training example")
class ClassMissing(TinyImages):
    def load(self, split: Any, image_size: int) -> Examples:
        given = super().load(split, image_size)
        return replace(given, targets=np.where(given.targets == 2, 0, given.targets))


@breaks("groups hold every class equally", "train groups are int64 [1], not int64 [64]")
class OneGroup(TinyImages):
    def load(self, split: Any, image_size: int) -> Examples:
        return replace(super().load(split, image_size), groups=np.zeros(1, np.int64))


@breaks("groups hold every class equally", "test group 0 has [2, 0, 0, 0] examples of the classes")
class GroupsOfOneClass(TinyImages):
    def load(self, split: Any, image_size: int) -> Examples:
        given = super().load(split, image_size)
        groups = np.empty(len(given.targets), np.int64)
        groups[np.argsort(given.targets, kind="stable")] = np.arange(len(groups)) // 2
        if split == "train":  # one of each class in every group
            groups[np.argsort(given.targets, kind="stable")] = np.arange(len(groups)) % 16
        return replace(given, groups=groups)


@breaks("loading again gives the same", "train differs when it is loaded again")
class ShuffledEachTime(TinyImages):
    def load(self, split: Any, image_size: int) -> Examples:
        given = super().load(split, image_size)
        order = np.random.default_rng().permutation(len(given.targets))
        return Examples(np.asarray(given.inputs)[order], given.targets[order])


class WithAll(Variant):
    """Keeps everything."""

    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        return Subset(np.arange(len(targets)), targets.copy())


@breaks("indices are sorted and unique", "indices 1..120 are not in 0..119")
class OneTooFar(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        return Subset(np.arange(len(targets)) + 1, targets.copy())


@breaks("indices are sorted and unique", "not ascending and unique")
class Unsorted(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        order = ctx.generator("order").permutation(len(targets))
        return Subset(order, targets[order])


@breaks("indices are sorted and unique", "no example is left")
class KeepsNothing(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        return Subset(np.arange(0), targets[:0])


@breaks("labels fit the classes", "targets are 1..4, not in 0..3")
class LabelTooHigh(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        return Subset(np.arange(len(targets)), targets + 1)


@breaks("labels fit the classes", "120 targets for 60 indices")
class LabelsLeftOver(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        return Subset(np.arange(0, len(targets), 2), targets.copy())


@breaks("every class is kept", "class 0 has no example left")
class LosesAClass(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        kept = np.flatnonzero(targets > 0)
        return Subset(kept, targets[kept])


@breaks("one seed chooses one subset", "draw from ctx.generator(...) only")
class UnseededSubset(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        dropped = np.random.default_rng().integers(len(targets))
        kept = np.delete(np.arange(len(targets)), dropped)
        return Subset(kept, targets[kept])


@breaks("the given labels stay", "apply() wrote to the labels it was given")
class WritesToLabels(WithAll):
    def apply(self, targets: Any, ctx: VariantContext) -> Subset:
        targets[0] = (targets[0] + 1) % ctx.num_classes
        return Subset(np.arange(len(targets)), targets.copy())
