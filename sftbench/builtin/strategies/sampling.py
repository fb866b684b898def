"""Full fine-tuning on batches that are drawn by class counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sftbench.api import Stage, Strategy, StrategyContext, class_power

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassBalancedSampling(Strategy):
    """Draw examples with class probabilities p_j ~ n_j^0, with replacement, at the same budget.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier", equation 1 with q = 0.
    """

    name = "class-balanced-sampling"
    summary = "full, drawing every class equally often"
    needs_labels = True
    claims = frozenset({"sampler"})
    over_outputs = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", sampler=class_power(0.0))]


class SqrtSampling(Strategy):
    """Draw examples with class probabilities p_j ~ n_j^(1/2), with replacement.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier", equation 1 with q = 1/2.
    """

    name = "sqrt-sampling"
    summary = "full, drawing classes by the square root of their counts"
    needs_labels = True
    claims = frozenset({"sampler"})
    over_outputs = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", sampler=class_power(0.5))]


class ProgressiveSampling(Strategy):
    """Go from drawing every image equally often to drawing every class so, epoch by epoch.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier", equation 2: class
    probabilities (1 - t/T) n_j / n + (t/T) / C, t the epochs done of T.
    """

    name = "progressive-sampling"
    summary = "full, from drawing images equally often to drawing classes so"
    needs_labels = True
    claims = frozenset({"sampler"})
    over_outputs = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", sampler=progressive)]


def progressive(targets: NDArray[np.int64], progress: float) -> NDArray[np.float64]:
    """Return weights float64 [N] that add up to 1, from instance- to class-balanced."""
    by_class = class_power(0.0)(targets, progress)
    weights = (1 - progress) / len(targets) + progress * by_class / by_class.sum()
    return np.asarray(weights, dtype=np.float64)
