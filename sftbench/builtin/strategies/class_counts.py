"""Training counts of classes as torch sees them, and the weights that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sftbench.api import StepOutput, StrategyContext

if TYPE_CHECKING:
    from torch import Tensor


def train_counts(ctx: StrategyContext) -> Tensor:
    """Return training counts float32 [C]; a class without images counts as one."""
    counts = torch.as_tensor(ctx.train_counts, dtype=torch.float32, device=ctx.device)
    return counts.clamp(min=1.0)


def class_balanced_weights(ctx: StrategyContext, beta: float) -> Tensor:
    """Return weights float32 [C], (1 - beta) / (1 - beta^n_y) scaled to the sum C.

    A class without images has the weight 0, and C counts the others.

    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples",
    section 4.
    """
    counts = torch.as_tensor(ctx.train_counts, dtype=torch.float64)
    # 1 - beta^n is a small difference of near numbers, and beta = 0 has no logarithm.
    effective = 1.0 - torch.tensor(beta, dtype=torch.float64) ** counts
    weights = torch.where(counts > 0, (1.0 - beta) / effective, 0.0)
    weights *= (counts > 0).sum() / weights.sum()
    return weights.to(device=ctx.device, dtype=torch.float32)


def example_losses(step: StepOutput, logits: Tensor) -> Tensor:
    """Return the task's loss of each example, [B]: with the stage's smoothing, not averaged.

    Args:
        step: Its targets and its loss.
        logits: float [B, C].
    """

    def of_one(outputs: Tensor, target: Tensor) -> Tensor:
        return step.task_loss(outputs.unsqueeze(0), target.unsqueeze(0))

    losses: Tensor = torch.func.vmap(of_one)(logits, step.targets)
    return losses
