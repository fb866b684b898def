"""Strategies that break a rule, and what any kind of component may break."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import ConfigDict
from support.broken.noted import breaks
from torch import nn

from sftbench.api import (
    BackboneInfo,
    DatasetInfo,
    Options,
    Stage,
    Strategy,
    StrategyContext,
)


class WithStages(Strategy):
    """Trains everything."""

    summary = "broken"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train")]


@breaks("class is sound", "lacks stages()")
class NoStagesAtAll(Strategy):
    pass


@breaks("options are frozen and closed", "OpenOptions lets unknown keys pass")
class Open(WithStages):
    class OpenOptions(Options):
        model_config = ConfigDict(extra="ignore")

    options_model = OpenOptions


@breaks("options are frozen and closed", "Thawed is not frozen")
class Mutable(WithStages):
    class Thawed(Options):
        model_config = ConfigDict(frozen=False)

    options_model = Thawed


@breaks("can be built", "option 'rank' is missing")
class NeedsAnOption(WithStages):
    class Needy(Options):
        rank: int

    options_model = Needy


@breaks("reference builds the same", "broken:1 builds")
class ForgetsItsArgument(WithStages):
    class Ranked(Options):
        rank: int = 1

    options_model = Ranked
    argument = "rank"
    example = "2"

    @property
    def reference(self) -> str:
        return "broken:1"


@breaks("supports gives a reason or none", "supports() returned False")
class SupportsIsABool(WithStages):
    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> Any:
        return False


@breaks("weights are known", "returned 'imagenet'")
class StrangeWeights(WithStages):
    def weights(self, requested: str) -> str:
        return "imagenet" if requested == "none" else requested


@breaks("there are stages", "return a list of at least one Stage")
class NoStage(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return []


@breaks("there are stages", "stages() returned Stage(")
class StageWithoutList(WithStages):
    def stages(self, ctx: StrategyContext) -> Any:
        return Stage(name="train")


@breaks("stage names differ", "['train', 'train']")
class TwoOfOneName(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train", share=0.5), Stage(name="train", share=0.5)]


@breaks("shares add up to the budget factor", "add up to 1.5; budget_factor is 1")
class TooMuchBudget(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="head", trainable=ctx.is_head), Stage(name="train", share=0.5)]


@breaks("shares add up to the budget factor", "a share is not above 0")
class NegativeShare(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="a", share=2.0), Stage(name="b", share=-1.0)]


@breaks("every stage trains something", "`trainable` of stage 'second'")
class UnfreezesNothing(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [
            Stage(name="first", share=0.5),
            Stage(name="second", share=0.5, trainable=lambda name: name == "classifier"),
        ]


@breaks("a tiny cell ends well", "the cell ended as diverged: DivergedError: loss is nan at step 1")
class LossIsNan(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train", loss=lambda step: step.logits.mean() * float("nan"))]


@breaks("a tiny cell ends well", "the cell ended as failed: ValueError: no such layer")
class AdaptRaises(WithStages):
    def adapt(self, model: Any, ctx: StrategyContext) -> Any:
        raise ValueError("no such layer")


@breaks("a tiny cell ends well", "took 2 optimiser steps")
class StepsTwice(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def update(step: Any) -> None:
            for _ in range(2):
                step.backward(step.loss())
                step.apply()

        return [Stage(name="train", update=update)]


@breaks("frozen tensors stay bit identical", "freezes backbone.model.0.0.weight, and step 1")
class MovesWhatItFreezes(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def push(model: Any, _step: int) -> None:
            with torch.no_grad():
                model.get_parameter("backbone.model.0.0.weight").add_(0.25)

        return [Stage(name="head", trainable=ctx.is_head, after_step=push)]


@breaks("frozen tensors stay bit identical", "freezes backbone.model.2.1.running_mean")
class MovesStatistics(WithStages):
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def push(model: Any, _step: int) -> None:
            model.get_buffer("backbone.model.2.1.running_mean").add_(1)

        return [Stage(name="head", trainable=ctx.is_head, after_step=push)]


@breaks("a second run gives the same", "draw from ctx.generator(...) only")
class ChanceOfItsOwn(WithStages):
    def adapt(self, model: Any, ctx: StrategyContext) -> Any:
        generator = torch.Generator()
        generator.seed()
        nn.init.normal_(model.head.weight, generator=generator)
        return model
