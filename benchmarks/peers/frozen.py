"""Eight strategies on a frozen backbone, which differ in loss and sampler: a plugin."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sftbench.api import (
    Stage,
    StepOutput,
    Strategy,
    StrategyContext,
    class_power,
    hookimpl,
)

_GAMMA, _BETA, _MARGIN, _SMOOTHING = 2.0, 0.999, 0.5, 0.1


def _counts(ctx: StrategyContext) -> Tensor:
    """Return training counts float32 [C], at least one each."""
    counts = torch.as_tensor(ctx.train_counts, dtype=torch.float32, device=ctx.device)
    return counts.clamp(min=1.0)


def _head(ctx: StrategyContext, loss: Callable[[StepOutput], Tensor] | None = None) -> list[Stage]:
    return [Stage(name="head", trainable=ctx.is_head, loss=loss)]


class Probe(Strategy):
    """Cross-entropy."""

    name = "frozen-ce"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return _head(ctx)


class Shifted(Strategy):
    """Balanced softmax: log counts added to the logits."""

    name = "frozen-balanced-softmax"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        shift = _counts(ctx).log()
        return _head(ctx, lambda step: F.cross_entropy(step.logits + shift, step.targets))


class Adjusted(Strategy):
    """Logit adjustment at tau = 0.5."""

    name = "frozen-logit-adjust"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        counts = _counts(ctx)
        shift = 0.5 * (counts / counts.sum()).log()
        return _head(ctx, lambda step: F.cross_entropy(step.logits + shift, step.targets))


class Weighted(Strategy):
    """Class-balanced weights, by the effective number of examples."""

    name = "frozen-class-balanced"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        weights = (1 - _BETA) / (1 - _BETA ** _counts(ctx))
        weights = weights / weights.mean()
        return _head(ctx, lambda step: F.cross_entropy(step.logits, step.targets, weights))


class Focal(Strategy):
    """The focal loss."""

    name = "frozen-focal"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def loss(step: StepOutput) -> Tensor:
            entropy = F.cross_entropy(step.logits, step.targets, reduction="none")
            return ((1 - torch.exp(-entropy)) ** _GAMMA * entropy).mean()

        return _head(ctx, loss)


class Margin(Strategy):
    """LDAM's margins: larger for rare classes."""

    name = "frozen-ldam"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        margins = _counts(ctx) ** -0.25
        margins = margins * (_MARGIN / margins.max())

        def loss(step: StepOutput) -> Tensor:
            taken = margins * F.one_hot(step.targets, step.logits.shape[1])
            return F.cross_entropy(step.logits - taken, step.targets)

        return _head(ctx, loss)


class Smoothed(Strategy):
    """Smoothed labels."""

    name = "frozen-smooth"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return _head(
            ctx,
            lambda step: F.cross_entropy(step.logits, step.targets, label_smoothing=_SMOOTHING),
        )


class Sampled(Strategy):
    """Every class drawn equally often."""

    name = "frozen-sampled"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="head", trainable=ctx.is_head, sampler=class_power(0.0))]


STRATEGIES = (Probe, Shifted, Adjusted, Weighted, Focal, Margin, Smoothed, Sampled)


@hookimpl
def sftbench_strategies() -> list[type[Strategy]]:
    """Offer them."""
    return [*STRATEGIES]
