"""The variant that changes nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sftbench.api import Subset, Variant, VariantContext


class Balanced(Variant):
    """Every training example with its own label, whatever the class sizes are."""

    name = "balanced"
    summary = "the training split as it is"
    keeps_all = True

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Return all of `targets` int64 [N]."""
        return Subset(np.arange(len(targets), dtype=np.int64), targets.copy())
