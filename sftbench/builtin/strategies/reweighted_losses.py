"""Losses that weigh examples: by how hard they are, or by how rare their class is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from sftbench.api import Options, Stage, StepOutput, Strategy, StrategyContext
from sftbench.builtin.strategies.class_counts import class_balanced_weights, example_losses

if TYPE_CHECKING:
    from torch import Tensor


class FocalOptions(Options):
    """`gamma`: how much less an example weighs that is already right; 0: cross-entropy."""

    gamma: float = Field(2.0, ge=0)


class Focal(Strategy):
    """Full fine-tuning with the mean over the batch of (1 - p_y)^gamma times the cross-entropy.

    p_y is the softmax probability of the true class, as the network gives it: no class weight
    enters it. The gradient runs through the factor, too.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, with softmax in
    place of its (and torchvision's) sigmoid for each class.
    """

    name = "focal"
    summary = "full, with the softmax focal loss"
    needs_labels = True
    claims = frozenset({"loss"})
    over_outputs = True
    options_model = FocalOptions
    options: FocalOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""

        def loss(step: StepOutput) -> Tensor:
            logits = step.logits.float()
            log_p = logits.log_softmax(dim=-1).gather(-1, step.targets.unsqueeze(-1)).squeeze(-1)
            # At p = 1 the power of a gamma below 1 has no slope.
            wrong = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
            return (wrong**self.options.gamma * example_losses(step, logits)).mean()

        return [Stage(name="train", loss=loss)]


class ClassBalancedOptions(Options):
    """`beta`: from 0, all classes alike, towards 1, the inverse of their counts."""

    beta: float = Field(0.9999, ge=0, lt=1)


class ClassBalanced(Strategy):
    """Full fine-tuning with cross-entropy weighted by the effective number of images of its class.

    The weights (1 - beta) / (1 - beta^n_y) add up to C over the classes; the loss is the mean over
    the batch of weight times loss. It is not divided by the weights of the batch (as torch's
    `cross_entropy(weight=...)` does), so with a long tail its gradients are smaller than those of
    plain cross-entropy.

    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples",
    section 4, with its normalisation of the weights.
    """

    name = "class-balanced"
    summary = "full, with losses weighted by the effective number of images of a class"
    needs_labels = True
    claims = frozenset({"loss"})
    over_outputs = True
    options_model = ClassBalancedOptions
    options: ClassBalancedOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        weights = class_balanced_weights(ctx, self.options.beta)

        def loss(step: StepOutput) -> Tensor:
            return (weights[step.targets] * example_losses(step, step.logits.float())).mean()

        return [Stage(name="train", loss=loss)]
