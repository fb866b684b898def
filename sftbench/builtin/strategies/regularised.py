"""Full fine-tuning with a penalty beside the loss."""

from __future__ import annotations

import torch
from pydantic import Field

from sftbench.api import Options, ParamRule, Stage, StepOutput, Strategy, StrategyContext


class L2SpOptions(Options):
    """`backbone`: strength towards the start; `head`: strength of the head's towards zero."""

    backbone: float = Field(0.01, ge=0)
    head: float = Field(0.01, ge=0)


class L2Sp(Strategy):
    """Add a/2 ||w - w0||^2 over the backbone and b/2 ||w||^2 over the head to the loss.

    No ordinary weight decay besides. With an adaptive optimiser the penalty's gradient is scaled
    like the loss's (it is not decoupled).

    Source: Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", equation 3 (L2-SP); 0.01 from Transfer-Learning-Library.
    """

    name = "l2-sp"
    summary = "full, held near the pretrained weights"
    needs_initial_state = True
    claims = frozenset({"penalty:l2-sp", "decay"})
    options_model = L2SpOptions
    options: L2SpOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [
            Stage(
                name="train",
                penalty=self._penalty,
                rule=lambda _name: ParamRule(weight_decay=0.0),
            )
        ]

    def _penalty(self, step: StepOutput) -> torch.Tensor:
        total = step.features.new_zeros((), dtype=torch.float32)
        for name, parameter in step.model.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.startswith("backbone."):
                moved = parameter - step.initial[name]
                total = total + 0.5 * self.options.backbone * moved.float().square().sum()
            elif StrategyContext.is_head(name):
                total = total + 0.5 * self.options.head * parameter.float().square().sum()
        return total


class BssOptions(Options):
    """`k`: how many of the smallest singular values; `strength` of their squares' sum."""

    k: int = Field(1, ge=1)
    strength: float = Field(1e-3, ge=0)


class Bss(Strategy):
    """Add eta times the sum of the k smallest squared singular values of the batch's features.

    Source: Chen et al. 2019, "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral
    Shrinkage for Safe Transfer Learning", equation 4.
    """

    name = "bss"
    summary = "full, with the features' smallest singular values shrunk"
    claims = frozenset({"penalty:bss"})
    options_model = BssOptions
    options: BssOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""

        def penalty(step: StepOutput) -> torch.Tensor:
            values: torch.Tensor = torch.linalg.svdvals(step.features.float())
            return self.options.strength * values[-self.options.k :].square().sum()

        return [Stage(name="train", penalty=penalty)]
