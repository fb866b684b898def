"""Weights that are means of weights: along a run, between two, and over several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from timm.utils.model_ema import ModelEmaV3

from sftbench.api import Model, Options, ParamRule, Stage, Strategy, StrategyContext
from sftbench.builtin.strategies.choosing import begin_again, best_of, needs_validation

State = Mapping[str, torch.Tensor]
ALPHAS = tuple(round(float(alpha), 1) for alpha in np.linspace(0, 1, 11))


def mixed_state(states: Sequence[State], shares: Sequence[float]) -> dict[str, torch.Tensor]:
    """Return the weighted sum of states; integer tensors are those of the last one.

    A share of 1 gives that state to the bit.
    """
    mixed = {}
    for name, last in states[-1].items():
        if not last.is_floating_point():
            mixed[name] = last
            continue
        if 1.0 in shares:
            mixed[name] = states[list(shares).index(1.0)][name]
            continue
        parts = [share * state[name] for share, state in zip(shares, states, strict=True)]
        mixed[name] = torch.stack(parts).sum(dim=0)
    return mixed


class EmaOptions(Options):
    """`decay`: of the average, once it is warmed up."""

    decay: float = Field(0.9998, ge=0, lt=1)


class Ema(Strategy):
    """Full fine-tuning; the exponential moving average of the weights is validated and kept.

    The decay after t steps is min(decay, 1 - (1 + t)^(-2/3)), so that few steps do not leave the
    average at the start.

    Source: Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging";
    timm's ModelEmaV3 with its warm-up.
    """

    name = "ema"
    summary = "full, keeping a moving average of the weights"
    claims = frozenset({"average"})
    options_model = EmaOptions
    options: EmaOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        kept: dict[str, Any] = {}

        def prepare(model: Model, _ctx: StrategyContext) -> None:
            kept["ema"] = ModelEmaV3(model, decay=self.options.decay, use_warmup=True)

        def after_step(model: Model, step: int) -> None:
            kept["ema"].update(model, step=step)

        def average(_model: Model) -> Model:
            found: Model = kept["ema"].module
            return found

        return [Stage(name="train", prepare=prepare, after_step=after_step, eval_model=average)]


class WiseFtOptions(Options):
    """`alpha`: share of the fine-tuned weights; None: chosen on validation. `head_share`."""

    alpha: float | None = Field(None, ge=0, le=1)
    head_share: float = Field(0.5, gt=0, lt=1)


class WiseFt(Strategy):
    """Probe, fine-tune, then weights (1 - a) theta_probe + a theta_tuned.

    a is the first of 0, 0.1, ..., 1 with the highest validation metric; the record has it as the
    measure `alpha`. theta_tuned are the selected weights. Integer buffers are theirs.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3; there the
    first end is a zero-shot head, here a linear probe.
    """

    name = "wise-ft"
    summary = "the head first, then full, then a mean of both, its share chosen on validation"
    claims = frozenset({"trainable", "final"})
    options_model = WiseFtOptions
    options: WiseFtOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return the probe and the fine-tuning."""
        if self.options.alpha is None:
            needs_validation(self, ctx, "alpha")
        share = self.options.head_share
        return [
            Stage(name="head", trainable=ctx.is_head, share=share),
            Stage(name="train", share=1 - share),
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Choose the share, and mix."""
        ends = ctx.snapshots["end:head"], ctx.snapshots["best"]

        def load(alpha: float) -> None:
            model.load_state_dict(mixed_state(ends, (1 - alpha, alpha)))

        alpha = self.options.alpha
        if alpha is None:
            alpha = best_of(ALPHAS, load, model, ctx)
        else:
            load(alpha)
        ctx.measures["alpha"] = alpha
        return model


class ModelSoupOptions(Options):
    """`k` runs; `recipe` of the mean; rates go from 1/`spread` to `spread` times the protocol's."""

    k: int = Field(3, ge=2, le=32)
    recipe: Literal["uniform", "greedy"] = "greedy"
    spread: float = Field(2.0, ge=1)


class ModelSoup(Strategy):
    """Fine-tune k times from the same start, with other orders and rates, and average the weights.

    `uniform` averages all; `greedy` takes them in the order of their validation metric and keeps
    each that does not lower the mean's. Every run has the plan's whole budget (`budget_factor` k).
    Statistics of batch norm are averaged like weights.

    Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models
    improves accuracy without increasing inference time", recipe 1.
    """

    name = "model-soup"
    summary = "a mean of k fine-tuned models, at k times the budget"
    needs_initial_state = True
    claims = frozenset({"trainable", "rates", "final"})
    options_model = ModelSoupOptions
    options: ModelSoupOptions

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.budget_factor = float(self.options.k)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return a stage for each run."""
        if self.options.recipe == "greedy":
            needs_validation(self, ctx, "recipe")
        k, spread = self.options.k, self.options.spread
        return [
            Stage(
                name=f"run-{number + 1}",
                prepare=begin_again,
                rule=_scaled(spread ** (2 * number / (k - 1) - 1)),
            )
            for number in range(k)
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Average."""
        ends = [ctx.snapshots[f"end:run-{number + 1}"] for number in range(self.options.k)]
        uniform = self.options.recipe == "uniform"
        chosen = ends if uniform else self._greedy(model, ctx, ends)
        model.load_state_dict(mean_state(chosen))
        ctx.measures["averaged_models"] = float(len(chosen))
        return model

    @staticmethod
    def _greedy(model: Model, ctx: StrategyContext, ends: Sequence[State]) -> list[State]:
        assert ctx.validate is not None  # noqa: S101 - the engine sets it for `finalise`
        scores = []
        for end in ends:
            model.load_state_dict(dict(end))
            scores.append(ctx.validate(model))
        order = sorted(range(len(ends)), key=lambda number: -scores[number])
        chosen, best = [ends[order[0]]], scores[order[0]]
        for number in order[1:]:
            model.load_state_dict(mean_state([*chosen, ends[number]]))
            score = ctx.validate(model)
            if score >= best:
                chosen, best = [*chosen, ends[number]], score
        return chosen


def mean_state(states: Sequence[State]) -> dict[str, torch.Tensor]:
    """Return the mean of states; integer tensors are those of the last one."""
    return mixed_state(states, [1 / len(states)] * len(states))


def _scaled(scale: float) -> Callable[[str], ParamRule]:
    return lambda _name: ParamRule(scale=scale)
