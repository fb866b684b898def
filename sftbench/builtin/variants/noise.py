"""A variant with wrong labels."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sftbench.api import Options, RequestError, Subset, Variant, VariantContext
from sftbench.builtin.variants.thinned import seeded_order


class LabelNoiseOptions(Options):
    """`share`: the part of all training labels that become wrong, 0 to 1."""

    share: float = Field(ge=0, le=1)


class LabelNoise(Variant):
    """Symmetric noise: `round(share * N)` labels become another class, all others equally likely.

    Every example is kept. A smaller share spoils a part of what a larger one spoils, with the
    same wrong labels. So `share` is the share of wrong labels, not of labels drawn anew (with C
    classes the latter would leave 1/C of them right).

    Source: Patrini et al. 2017, "Making Deep Neural Networks Robust to Label Noise",
    arXiv:1609.03683, section 5, the symmetric case.
    """

    name = "labelnoise"
    summary = "a share P of the labels replaced by another class, symmetrically"
    keeps_all = True
    options_model = LabelNoiseOptions
    argument = "share"
    example = "0.2"
    options: LabelNoiseOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Return all of `targets` int64 [N], a share of them wrong.

        Raises:
            RequestError: There is only one class.
        """
        if ctx.num_classes < 2:
            raise RequestError(f"variant {self.reference!r} needs at least 2 classes")
        generator = ctx.generator("noise")
        num = len(targets)
        spoilt = seeded_order(num, generator)[: round(self.options.share * num)]
        # Of 2**64 raw words the remainder favours no class by more than C / 2**64.
        words = generator.bit_generator.random_raw(num)
        shift = 1 + (words % (ctx.num_classes - 1)).astype(np.int64)
        noisy = targets.copy()
        noisy[spoilt] = (targets[spoilt] + shift[spoilt]) % ctx.num_classes
        return Subset(np.arange(num, dtype=np.int64), noisy)
