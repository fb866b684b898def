"""Full fine-tuning on batches in which every class is equally likely."""

from __future__ import annotations

from sftbench.api import Stage, Strategy, StrategyContext, class_power


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
