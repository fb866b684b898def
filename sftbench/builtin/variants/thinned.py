"""Variants that keep a part of every class: K images of each, or a share of each."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sftbench.api import Options, RequestError, Variant, VariantContext
from sftbench.api import Subset as Kept


class FewShotOptions(Options):
    """`k`: training images of each class."""

    k: int = Field(ge=1)


class SubsetOptions(Options):
    """`share`: the part of each class that is kept, above 0 and at most 1."""

    share: float = Field(gt=0, le=1)


class FewShot(Variant):
    """K images of each class. A smaller K keeps a part of what a larger one keeps."""

    name = "fewshot"
    summary = "K images of each class"
    options_model = FewShotOptions
    argument = "k"
    example = "2"
    options: FewShotOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Kept:
        """Choose K of each class among `targets` int64 [N].

        Raises:
            RequestError: A class has fewer than K.
        """
        k = self.options.k
        counts = np.bincount(targets, minlength=ctx.num_classes)
        if counts.min() < k:
            raise RequestError(
                f"variant {self.reference!r}: class {int(counts.argmin())} has {counts.min()} "
                f"training images after validation was taken; lower K or use more training images"
            )
        return keep_per_class(targets, np.full(ctx.num_classes, k, dtype=np.int64), ctx)


class LabelsOptions(Options):
    """`num`: labelled training images in all."""

    num: int = Field(ge=1)


class Labels(Variant):
    """N labelled images in all, classes alike; the others stay, without their labels.

    With N not divisible by the number of classes the first ones have one more. A smaller N keeps a
    part of what a larger one keeps. What is left out is what a stream `unlabelled` draws from.

    Source: Sohn et al. 2020 (FixMatch), section 4: class-balanced labelled sets.
    """

    name = "labels"
    summary = "N labelled images in all, the others without labels"
    options_model = LabelsOptions
    argument = "num"
    example = "16"
    options: LabelsOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Kept:
        """Choose N among `targets` int64 [N].

        Raises:
            RequestError: Fewer than one for each class, or a class has too few.
        """
        each, more = divmod(self.options.num, ctx.num_classes)
        if each == 0:
            raise RequestError(
                f"variant {self.reference!r}: {ctx.num_classes} classes need a label each"
            )
        wanted = each + (np.arange(ctx.num_classes) < more).astype(np.int64)
        lacking = np.flatnonzero(np.bincount(targets, minlength=ctx.num_classes) < wanted)
        if len(lacking):
            raise RequestError(
                f"variant {self.reference!r}: class {int(lacking[0])} has fewer than "
                f"{wanted[lacking[0]]} training images after validation was taken; lower N"
            )
        return keep_per_class(targets, wanted, ctx)


class Subset(Variant):
    """A stratified share of the images. A smaller share keeps a part of what a larger one keeps.

    Of n images of a class `round(share * n)` are kept (halves to even), and at least one.
    """

    name = "subset"
    summary = "a stratified share P of the images"
    options_model = SubsetOptions
    argument = "share"
    example = "0.5"
    options: SubsetOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Kept:
        """Choose the share of each class among `targets` int64 [N]."""
        counts = np.bincount(targets, minlength=ctx.num_classes)
        wanted = np.maximum(1, np.rint(self.options.share * counts)).astype(np.int64)
        return keep_per_class(targets, wanted, ctx)


def keep_per_class(
    targets: NDArray[np.int64], wanted: NDArray[np.int64], ctx: VariantContext
) -> Kept:
    """Keep `wanted[c]` examples of class c, or all where it has fewer.

    They are the first of one seeded order of the class, so that every choice for a class lies
    within every larger one, whichever variant asks.

    Args:
        targets: int64 [N].
        wanted: int64 [C].
        ctx: Gives each class a generator of its own.
    """
    chosen = [np.empty(0, dtype=np.int64)]
    for label in range(ctx.num_classes):
        members = np.flatnonzero(targets == label)
        order = seeded_order(len(members), ctx.generator("class", label))
        chosen.append(members[order[: wanted[label]]])
    indices = np.sort(np.concatenate(chosen))
    return Kept(indices, targets[indices])


def seeded_order(num: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a permutation int64 [num].

    Sorted raw words: NumPy promises to keep them from release to release, and does not promise
    that of `Generator.permutation`.
    """
    return np.argsort(generator.bit_generator.random_raw(num), kind="stable")
