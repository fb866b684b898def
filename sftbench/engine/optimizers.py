"""The optimiser of a stage: parameter groups by rate and decay, made by timm's factory."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sftbench.contracts.strategy import ParamRule, Stage, StrategyContext
from sftbench.errors import RequestError
from sftbench.names import cause, nearest, shown, unknown_name
from sftbench.protocol import Protocol

_MOST_MOMENTUM = 0.99  # that a swing leads to

# Typed as Any: timm exports its factory without saying so to a type checker.
_timm: Any = importlib.import_module("timm.optim")


def check_optimizer(name: str) -> None:
    """Raise RequestError with the nearest names where timm knows no such optimiser."""
    known = [str(known) for known in _timm.list_optimizers()]
    if name not in known:
        if nearest(name, known):
            raise RequestError(unknown_name("optimizer", name, known))
        raise RequestError(f"unknown optimizer {shown(name)}; see timm.optim.list_optimizers()")
    try:
        _timm.create_optimizer_v2([nn.Parameter(torch.zeros(1))], opt=name, lr=1.0, **_fused(name))
    except Exception as error:  # noqa: BLE001 - third-party optimisers fail in their own ways
        raise RequestError(f"optimizer {name!r} does not work here: {cause(error)}") from None


def peak_rate(name: str, stage: Stage, ctx: StrategyContext, *, head_alone: bool) -> float:
    """Return the peak rate of a parameter: by stage, else by the protocol's `rates`."""
    rates = ctx.protocol.rates
    if stage.rate is not None:
        return stage.rate
    if head_alone:
        return rates.head_alone
    if not ctx.pretrained:
        return rates.scratch
    return rates.backbone if name.startswith("backbone.") else rates.head


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one parameter trains: its peak learning rate and its weight decay."""

    peak: float
    decay: float


def recipes(
    named: Iterable[tuple[str, nn.Parameter]], stage: Stage, ctx: StrategyContext
) -> dict[str, Recipe]:
    """Return the recipe of each parameter that trains, by name.

    No weight decay on biases and norms (ndim <= 1) unless the protocol says `decay_all`.
    """
    trained = {name: parameter for name, parameter in named if parameter.requires_grad}
    head_alone = not any(name.startswith("backbone.") for name in trained)
    found = {}
    for name, parameter in trained.items():
        rule = stage.rule(name) if stage.rule else ParamRule()
        decay = rule.weight_decay
        if decay is None:
            spared = parameter.ndim <= 1 and not ctx.protocol.decay_all
            decay = 0.0 if spared else ctx.protocol.weight_decay
        peak = rule.scale * peak_rate(name, stage, ctx, head_alone=head_alone)
        found[name] = Recipe(peak, decay)
    return found


def make_optimizer(
    named: Iterable[tuple[str, nn.Parameter]], stage: Stage, ctx: StrategyContext
) -> torch.optim.Optimizer:
    """Build the optimiser over the parameters that train."""
    every = dict(named)
    chosen = recipes(every.items(), stage, ctx)
    return optimizer_over([(every[name], recipe) for name, recipe in chosen.items()], ctx.protocol)


def optimizer_over(
    trained: Iterable[tuple[Tensor, Recipe]], protocol: Protocol
) -> torch.optim.Optimizer:
    """Build the protocol's optimiser, a group for each recipe.

    Each group carries its `peak` rate; `set_rates` turns it into `lr` at every step.
    """
    groups: dict[Recipe, list[Tensor]] = {}
    for parameter, recipe in trained:
        groups.setdefault(recipe, []).append(parameter)
    as_dicts = [
        {"params": parameters, "lr": one.peak, "peak": one.peak, "weight_decay": one.decay}
        for one, parameters in groups.items()
    ]
    opt = protocol.optimizer
    made: torch.optim.Optimizer = _timm.create_optimizer_v2(
        as_dicts, opt=opt, lr=1.0, weight_decay=0.0, momentum=protocol.momentum, **_fused(opt)
    )
    return made


def _fused(name: str) -> dict[str, Any]:
    """Ask for the fused kernel where torch has one: the same update, one pass over memory."""
    cls: Any = _timm.get_optimizer_info(name).opt_class
    native = getattr(cls, "__module__", "").startswith("torch.optim")
    return {"fused": True} if native and "fused" in inspect.signature(cls).parameters else {}


def carry_state(old: torch.optim.Optimizer, new: torch.optim.Optimizer) -> None:
    """Give the optimiser's memory of shared parameters (momentum, variances) to the new one."""
    for group in new.param_groups:
        for parameter in group["params"]:
            if parameter in old.state:
                new.state[parameter] = old.state[parameter]


def _swung(momentum: float, swing: float) -> float:
    """Return a momentum moved by `swing`, but not to where velocities would grow, or turn."""
    return min(max(momentum + swing, 0.0), max(momentum, _MOST_MOMENTUM))


def set_rates(optimizer: torch.optim.Optimizer, factor: float, swing: float = 0.0) -> float:
    """Set every group's rate to `factor` times its peak and return the highest.

    Args:
        optimizer: Its groups carry `peak`, and the momentum they were made with.
        factor: Of the peak rate.
        swing: Added to the momentum, or to Adam's beta 1.
    """
    highest = 0.0
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
        if swing and group.get("momentum"):
            made_with = group.setdefault("made_with_momentum", group["momentum"])
            group["momentum"] = _swung(made_with, swing)
        elif swing and group.get("betas"):
            first, *others = group.setdefault("made_with_betas", group["betas"])
            group["betas"] = (_swung(first, swing), *others)
        highest = max(highest, group["lr"])
    return highest
