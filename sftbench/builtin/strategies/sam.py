"""Steps that look for flat minima."""

from __future__ import annotations

import torch
from pydantic import Field

from sftbench.api import Options, Stage, Step, Strategy, StrategyContext


class SamOptions(Options):
    """`rho`: length of the step uphill."""

    rho: float = Field(0.05, ge=0)


class Sam(Strategy):
    """Full fine-tuning with the gradient at w + rho g / ||g||, g the gradient at w.

    Each step takes two passes over the same examples with the same dropout masks (the record's
    counts say so); batch-norm statistics are updated in the first alone. At rho = 0 it is the
    optimiser itself.

    Source: Foret et al. 2021, "Sharpness-Aware Minimization for Efficiently Improving
    Generalization", equation 2 and algorithm 1.
    """

    name = "sam"
    summary = "full, each step by the gradient at the worst point nearby; two passes a step"
    claims = frozenset({"update"})
    options_model = SamOptions
    options: SamOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", update=self._update)]

    def _update(self, step: Step) -> None:
        device = step.parameters[0].device
        # The second pass begins where the first did: both are of one function.
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            step.backward(step.loss())
        moved = [p for p in step.parameters if p.grad is not None]
        grads = [p.grad for p in moved if p.grad is not None]
        norm = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(grad.float()) for grad in grads])
        )
        kept = [p.detach().clone() for p in moved]
        with torch.no_grad():
            for p, grad in zip(moved, grads, strict=True):
                p.add_(grad * (self.options.rho / (norm + 1e-12)))
        step.zero_grad()
        with step.frozen_statistics():
            step.backward(step.loss())
        with torch.no_grad():
            for p, before in zip(moved, kept, strict=True):
                p.copy_(before)
        step.apply()
