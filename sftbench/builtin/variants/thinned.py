"""Variants that keep a part of every class: K images of each, a share of each, or N in all."""

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


class LabelsOptions(Options):
    """`n`: labelled training images in all."""

    n: int = Field(ge=1)


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


class Labels(Variant):
    """N labelled images in all, of every class alike; the rest of the split has no labels.

    Where the number of classes does not divide N, some classes have one more. A smaller N keeps a
    part of what a larger one keeps. The rest is there for strategies that learn without labels
    (streams of source `unlabelled`); the others train as on `fewshot`.

    Source: the splits of Sohn et al. 2020, "FixMatch", section 4 (CIFAR-10 with 40, 250 and 4,000
    labels). There the unlabelled images hold the labelled ones too; here they do not.
    """

    name = "labels"
    summary = "N labelled images, of every class alike; the rest without labels"
    options_model = LabelsOptions
    argument = "n"
    example = "8"
    options: LabelsOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Kept:
        """Choose N among `targets` int64 [N].

        Raises:
            RequestError: N is below the number of classes, or a class has fewer than its part.
        """
        n, num_classes = self.options.n, ctx.num_classes
        if n < num_classes:
            raise RequestError(
                f"variant {self.reference!r}: {num_classes} classes need at least one labelled "
                f"image each; use labels:{num_classes} or more"
            )
        wanted = np.full(num_classes, n // num_classes, dtype=np.int64)
        wanted[seeded_order(num_classes, ctx.generator("extra"))[: n % num_classes]] += 1
        short = np.flatnonzero(np.bincount(targets, minlength=num_classes) < wanted)
        if len(short) > 0:
            label = int(short[0])
            raise RequestError(
                f"variant {self.reference!r}: class {label} has {int((targets == label).sum())} "
                f"training images after validation was taken, and {wanted[label]} are to be "
                "labelled; lower N or use more training images"
            )
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
