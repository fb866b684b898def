"""Representation first, classifier second, on batches in which every class is equally likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import nn

from sftbench.api import Model, Options, Stage, Strategy, StrategyContext, class_power
from sftbench.builtin.strategies.linear_heads import linear_head

if TYPE_CHECKING:
    from torch import Tensor


class DecoupledOptions(Options):
    """`head_share`: share of the budget for the classifier, in the second stage."""

    head_share: float = Field(0.1, gt=0, lt=1)


class Crt(Strategy):
    """Train everything, then a head anew on the frozen rest, drawing every class equally often.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier for Long-Tailed
    Recognition", section 4, classifier re-training (cRT). Both stages share one budget here (the
    authors add 10 epochs to 90), each with a schedule of its own; the second sees one plain view of
    each image.
    """

    name = "crt"
    summary = "full, then a new head on the frozen rest with class-balanced sampling"
    needs_labels = True
    claims = frozenset({"trainable", "sampler"})
    options_model = DecoupledOptions
    options: DecoupledOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return both stages."""
        share = self.options.head_share
        return [
            Stage(name="train", share=1 - share),
            Stage(
                name="head",
                trainable=ctx.is_head,
                share=share,
                prepare=_begin_head_again,
                sampler=class_power(0.0),
            ),
        ]


def _begin_head_again(model: Model, _ctx: StrategyContext) -> None:
    """Draw the head's weights as its layers do when they are made."""
    for module in model.head.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()


class ScaledHead(nn.Module):
    """A linear layer whose outputs are multiplied by one factor for each class.

    Args:
        linear: [D] to [C].
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.scale = nn.Parameter(torch.ones(linear.out_features))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, D] to logits [B, C]."""
        logits: Tensor = self.linear(features) * self.scale
        return logits


class Lws(Strategy):
    """Train everything, then one scale for each class, drawing every class equally often.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier for Long-Tailed
    Recognition", section 4, learnable weight scaling (f_i w_i, w fixed). As in the authors' code a
    scale multiplies the bias too. Both stages share one budget here, each with a schedule of its
    own; the second sees one plain view of each image.
    """

    name = "lws"
    summary = "full, then one scale for each class with class-balanced sampling"
    needs_labels = True
    claims = frozenset({"trainable", "sampler", "head"})
    options_model = DecoupledOptions
    options: DecoupledOptions

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Put scales of one behind the head."""
        model.head = ScaledHead(linear_head(model, self.name))
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return both stages."""
        share = self.options.head_share
        return [
            Stage(name="train", trainable=lambda name: not _is_scale(name), share=1 - share),
            Stage(name="scale", trainable=_is_scale, share=share, sampler=class_power(0.0)),
        ]


def _is_scale(name: str) -> bool:
    return name == "head.scale"
