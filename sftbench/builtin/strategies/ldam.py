"""Margins that are larger for rarer classes, with weights that come late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from sftbench.api import Model, Options, Stage, StepOutput, Strategy, StrategyContext
from sftbench.builtin.strategies.class_counts import (
    class_balanced_weights,
    example_losses,
    train_counts,
)
from sftbench.builtin.strategies.linear_heads import linear_head

if TYPE_CHECKING:
    from torch import Tensor


class CosineHead(nn.Module):
    """A linear layer without bias between normalised features and normalised class weights.

    Args:
        width: D.
        num_classes: C.
        scale: Multiplies the cosines.
    """

    def __init__(self, width: int, num_classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, width))
        self.scale = scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw random directions, as the authors' code does; their length does not matter."""
        with torch.no_grad():
            self.weight.copy_(F.normalize(torch.empty_like(self.weight).uniform_(-1, 1)))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, D] to scaled cosines [B, C]."""
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


class LdamDrwOptions(Options):
    """`max_margin`: of the rarest class; `scale` of the cosines; `beta`, `late_share` of weights.

    The weights hold for the last `late_share` of the budget.
    """

    max_margin: float = Field(0.5, ge=0)
    scale: float = Field(30.0, gt=0)
    beta: float = Field(0.9999, ge=0, lt=1)
    late_share: float = Field(0.2, ge=0, le=1)


class LdamDrw(Strategy):
    """Full fine-tuning with LDAM: the true class's cosine less a margin ~ n_y^(-1/4), then scaled.

    The head is normalised (a cosine without bias). Class-balanced weights come on after 80 % of the
    budget; from there on the loss is the batch's weighted mean, divided by the weights of the
    batch, as in the authors' code (before, all weigh the same).

    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
    Loss", sections 3.2 and 3.3, algorithm 1; the scale 30 and the weights are their code's. Their
    network gives cosines and the loss scales them; here the network gives them scaled, so that its
    outputs are the logits that were trained.
    """

    name = "ldam-drw"
    summary = "full with a cosine head, margins by class and late class-balanced weights"
    needs_labels = True
    claims = frozenset({"loss", "head"})
    options_model = LdamDrwOptions
    options: LdamDrwOptions

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Replace the linear head."""
        width = linear_head(model, self.name).in_features
        model.head = CosineHead(width, ctx.info.num_classes, self.options.scale)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        margins = ldam_margins(ctx, self.options.max_margin)
        weights = class_balanced_weights(ctx, self.options.beta)
        start = 1.0 - self.options.late_share

        def loss(step: StepOutput) -> Tensor:
            logits = step.logits.float()
            truth = F.one_hot(step.targets, logits.shape[-1]).to(logits.dtype)
            losses = example_losses(step, logits - self.options.scale * margins * truth)
            if step.progress < start:
                return losses.mean()
            own = weights[step.targets]
            return (own * losses).sum() / own.sum()

        return [Stage(name="train", loss=loss)]


def ldam_margins(ctx: StrategyContext, largest: float) -> Tensor:
    """Return margins float32 [C], n_y^(-1/4) scaled to the largest of a class with images.

    Source: Cao et al. 2019, section 3.2.
    """
    margins = train_counts(ctx) ** -0.25
    there = torch.as_tensor(ctx.train_counts > 0, device=ctx.device)
    return torch.where(there, margins, 0.0) * (largest / margins[there].max())
