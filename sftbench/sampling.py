"""Class-aware sampling weights for a stage's target examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sftbench.contracts.strategy import Sampler


def class_power(q: float) -> Sampler:
    """Return a sampler with class probabilities p_j ~ n_j^q.

    q = 1 draws examples uniformly, 1/2 is square-root sampling, 0 is class-balanced.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier", equation 1.
    """

    def weights(targets: NDArray[np.int64], _progress: float) -> NDArray[np.float64]:
        counts = np.bincount(targets).astype(np.float64)
        # A class with n images gets n equal shares of n^q, so each image weighs n^(q-1).
        per_class = np.where(counts > 0, np.maximum(counts, 1.0) ** (q - 1.0), 0.0)
        return np.asarray(per_class[targets], dtype=np.float64)

    return weights
