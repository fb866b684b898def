"""Variants with classes of unequal size: long-tailed, and in two steps."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sftbench.api import Options, Subset, Variant, VariantContext
from sftbench.builtin.variants.thinned import keep_per_class


class ImbalanceOptions(Options):
    """How unequal the classes become, and which of them stay large.

    `ratio`: the largest class is this many times the smallest; 1 changes nothing where classes
    are equal. `order`: `given` makes class 0 the largest, `reversed` the last class.
    """

    ratio: float = Field(ge=1)
    order: Literal["given", "reversed"] = "given"


class LongTail(Variant):
    """Class sizes fall exponentially: `n_i = int(n_max * (1 / R) ** (i / (C - 1)))`.

    n_max is the size of the largest class of the training part. A class that has fewer than its
    n_i keeps what it has, and every class keeps at least one image. A larger R keeps a part of
    what a smaller one keeps.

    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples",
    arXiv:1901.05555, section 5.1; the rounding down of Cao et al. 2019, arXiv:1906.07413. There
    n_max is that of the whole training split; here it is what validation left of it.
    """

    name = "longtail"
    summary = "class sizes fall exponentially; the largest is R times the smallest"
    options_model = ImbalanceOptions
    argument = "ratio"
    example = "10"
    options: ImbalanceOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Choose a long-tailed part of `targets` int64 [N]."""
        largest = int(np.bincount(targets).max())
        steps = max(ctx.num_classes - 1, 1)
        share = 1.0 / self.options.ratio
        sizes = [int(largest * share ** (i / steps)) for i in range(ctx.num_classes)]
        return keep_per_class(targets, _ordered(sizes, self.options.order), ctx)


class StepImbalance(Variant):
    """The first `C // 2` classes keep all they have, the others `int(n_max / R)`.

    n_max is the size of the largest class of the training part. A class that has fewer than its
    size keeps what it has, and every class keeps at least one image. A larger R keeps a part of
    what a smaller one keeps.

    Source: Buda et al. 2018, "A systematic study of the class imbalance problem in convolutional
    neural networks", arXiv:1710.05381, section 3.1, with half of the classes as minority.
    """

    name = "step"
    summary = "half of the classes keep all, the others 1/R"
    options_model = ImbalanceOptions
    argument = "ratio"
    example = "10"
    options: ImbalanceOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Choose a part of `targets` int64 [N] with two class sizes."""
        largest = int(np.bincount(targets).max())
        num_large = ctx.num_classes // 2
        small = int(largest / self.options.ratio)
        sizes = [largest] * num_large + [small] * (ctx.num_classes - num_large)
        return keep_per_class(targets, _ordered(sizes, self.options.order), ctx)


def _ordered(sizes: list[int], order: Literal["given", "reversed"]) -> NDArray[np.int64]:
    """Return the sizes by class, int64 [C], each at least 1."""
    by_class = sizes if order == "given" else sizes[::-1]
    return np.maximum(1, np.asarray(by_class, dtype=np.int64))
