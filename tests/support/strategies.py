"""What tests of strategies share: a step of one's own making, a context with class counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from support.workspaces import make_warm, make_workspace
from torch import Tensor, nn
from torch.nn import functional as F

from sftbench.api import StepOutput, Strategy, StrategyContext
from sftbench.engine.workspace import Workspace

# CIFAR-10 with its largest class 100 times its smallest.
LONGTAIL = np.array([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])


def laid_out(strategy: str, **changes: Any) -> Workspace:
    """Return the workspace of a tiny cell that has not been run."""
    return make_workspace(make_warm(), strategy, **changes)


def with_counts(ws: Workspace, counts: np.ndarray) -> StrategyContext:
    """Return the context of a cell with other class counts."""
    ws.ctx.train_counts = counts.astype(np.int64)
    return ws.ctx


def step(logits: Tensor, targets: Tensor, model: Any = None, **fields: Any) -> StepOutput:
    """Return a step with plain cross-entropy as the task's loss."""
    values: dict[str, Any] = {
        "logits": logits,
        "features": torch.zeros(len(logits), 2),
        "targets": targets,
        "model": model or nn.Identity(),
        "initial": {},
        "streams": {},
        "task_loss": F.cross_entropy,
        "progress": 0.0,
    }
    return StepOutput(**(values | fields))


def batch(num_classes: int, size: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return logits float64 [B, C] and targets int64 [B]."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(num_classes, (size,), generator=generator)


def loss_of(strategy: Strategy, ctx: StrategyContext, number: int = 0) -> Any:
    """Return the loss of a strategy's stage."""
    loss = strategy.stages(ctx)[number].loss
    assert loss is not None
    return loss
