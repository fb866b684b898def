"""Losses that know the class shares of the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from sftbench.api import Options, Stage, StepOutput, Strategy, StrategyContext
from sftbench.builtin.strategies.class_counts import train_counts

if TYPE_CHECKING:
    from torch import Tensor


def _shifted_stage(shift: Tensor) -> Stage:
    """Return a stage that adds `shift` [C] to the logits of the loss, and nowhere else."""

    def loss(step: StepOutput) -> Tensor:
        return step.task_loss(step.logits.float() + shift, step.targets)

    return Stage(name="train", loss=loss)


class BalancedSoftmax(Strategy):
    """Full fine-tuning with cross-entropy of z + log n_y.

    Source: Ren et al. 2020, "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
    equation 4.
    """

    name = "balanced-softmax"
    summary = "full, with log class counts added to the logits of the loss"
    needs_labels = True
    claims = frozenset({"loss"})
    over_outputs = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [_shifted_stage(train_counts(ctx).log())]


class LogitAdjustOptions(Options):
    """`tau`: how strongly the class shares weigh."""

    tau: float = Field(1.0, ge=0)


class LogitAdjust(Strategy):
    """Full fine-tuning with cross-entropy of z + tau log pi, pi the class shares.

    At tau = 1 it is `balanced-softmax`: the two differ by a constant, which softmax ignores.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", equation 10.
    """

    name = "logit-adjust"
    summary = "full, with tau log class shares added to the logits of the loss"
    needs_labels = True
    claims = frozenset({"loss"})
    over_outputs = True
    options_model = LogitAdjustOptions
    options: LogitAdjustOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        counts = train_counts(ctx)
        return [_shifted_stage(self.options.tau * (counts / counts.sum()).log())]
