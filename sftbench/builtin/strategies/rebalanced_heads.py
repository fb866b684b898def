"""Changes of a trained linear head that undo what class counts did to it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from pydantic import Field
from torch import nn

from sftbench.api import (
    Model,
    Options,
    Stage,
    Strategy,
    StrategyContext,
)
from sftbench.builtin.strategies.choosing import best_of, needs_validation
from sftbench.builtin.strategies.class_counts import train_counts
from sftbench.builtin.strategies.linear_heads import linear_head

TAUS = tuple(round(float(tau), 1) for tau in np.linspace(0, 2, 21))
"""What is tried on validation."""


class LogitAdjustPosthocOptions(Options):
    """`tau`: how strongly the class shares weigh."""

    tau: float = Field(1.0, ge=0)


class LogitAdjustPosthoc(Strategy):
    """Full fine-tuning; then logits z - tau log pi, pi the class shares, by the head's bias.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", equation 9 (post hoc).
    """

    name = "logit-adjust-posthoc"
    summary = "full, with tau log class shares taken off the trained head's bias"
    needs_labels = True
    claims = frozenset({"final"})
    options_model = LogitAdjustPosthocOptions
    options: LogitAdjustPosthocOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train")]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Shift the bias."""
        head = linear_head(model, self.name)
        counts = train_counts(ctx)
        shift = self.options.tau * (counts / counts.sum()).log()
        with torch.no_grad():
            bias = torch.zeros_like(shift) if head.bias is None else head.bias
            head.bias = nn.Parameter(bias - shift.to(bias.device))
        return model


class TauNormOptions(Options):
    """`tau`: power of the weights' norms that is divided out; None: chosen on validation."""

    tau: float | None = Field(None, ge=0)


class TauNorm(Strategy):
    """Full fine-tuning; then class weights w / ||w||^tau without bias.

    tau is the first of 0, 0.1, ..., 2 with the highest validation metric; the record tells it as
    the measure `tau`.

    Source: Kang et al. 2020, "Decoupling Representation and Classifier for Long-Tailed
    Recognition", section 4, tau-normalised classifier; tau from 0 to 2 is their code's. The bias
    becomes zero.
    """

    name = "tau-norm"
    summary = "full, with the norms of the trained head's class weights evened out"
    needs_labels = True
    claims = frozenset({"final"})
    options_model = TauNormOptions
    options: TauNormOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage.

        Raises:
            RequestError: tau is to be chosen, and there is no validation split.
        """
        if self.options.tau is None:
            needs_validation(self, ctx, "tau")
        return [Stage(name="train")]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Change the head; choose tau first where none is given."""
        head = linear_head(model, self.name)
        trained = copy.deepcopy(head)

        def load(tau: float) -> None:
            even_out(head, trained, tau)

        tau = self.options.tau
        if tau is None:
            tau = best_of(TAUS, load, model, ctx)
        else:
            load(tau)
        ctx.measures["tau"] = tau
        return model


def even_out(head: nn.Linear, trained: nn.Linear, tau: float) -> None:
    """Give `head` the weights of `trained`, each class's divided by its norm^tau, and no bias."""
    norms = trained.weight.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    with torch.no_grad():
        head.weight.copy_(trained.weight / norms**tau)
        if head.bias is not None:
            head.bias.zero_()
