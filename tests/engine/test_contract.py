"""Every part of the strategy contract, each proved by a strategy that needs it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sftbench.api import (
    Examples,
    Model,
    ParamRule,
    RequestError,
    Split,
    Stage,
    Step,
    StepOutput,
    Strategy,
    StrategyContext,
    Stream,
)
from sftbench.builtin.variants.thinned import Labels, Subset
from sftbench.records import Record
from sftbench.testing import TinyImages, check_component, run_tiny


def run(*components: type, **changes: Any) -> Record:
    record, _ = run_tiny(*components, **changes)
    assert record.status == "ok", record.error
    return record


class TwoPasses(Strategy):
    """Sharpness-aware minimisation in short: climb, look again, come back, step."""

    name = "two-passes"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train", update=self.update)]

    def update(self, step: Step) -> None:
        step.backward(step.loss())
        norms = [m for m in step.model.modules() if isinstance(m, nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms]
        with torch.no_grad():
            climbs = [0.05 * p.grad for p in step.parameters]
            for parameter, climb in zip(step.parameters, climbs, strict=True):
                parameter.add_(climb)
        step.zero_grad()
        with step.frozen_statistics():
            step.backward(step.loss())
        assert all(
            torch.equal(norm.running_mean, kept) for norm, kept in zip(norms, before, strict=True)
        )
        with torch.no_grad():
            for parameter, climb in zip(step.parameters, climbs, strict=True):
                parameter.sub_(climb)
        step.apply()


def test_update_may_take_two_passes_and_both_are_counted() -> None:
    record = run(TwoPasses, epochs=2)
    assert record.counts.drawn_examples == 2 * 48
    assert record.counts.forward == record.counts.backward == 2 * 2 * 48
    assert len(record.stages) == 1


def test_an_update_that_never_steps_is_an_error() -> None:
    class Idle(Strategy):
        name = "idle"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", update=lambda step: step.backward(step.loss()))]

    record, _ = run_tiny(Idle)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.message == (
        "update of stage 'train' of 'idle' took 0 optimiser steps; it must call loss() and "
        "apply() once"
    )


class Unlabelled(Strategy):
    """Consistency of two views of the images that the variant left out."""

    name = "unlabelled"
    seen: list[tuple[int, int, bool]] = []

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        rest = Stream(name="rest", source="unlabelled", ratio=2.0, views=("weak", "strong"))
        return [Stage(name="train", streams=(rest,), loss=self.loss)]

    def loss(self, step: StepOutput) -> torch.Tensor:
        rest = step.streams["rest"]
        weak, strong = rest.logits
        self.seen.append((len(step.targets), len(weak), rest.targets is None))
        assert weak.shape == strong.shape
        assert rest.features[0].shape == (len(weak), 16)
        consistency = nn.functional.mse_loss(strong, weak.detach())
        return step.task_loss(step.logits, step.targets) + consistency


def test_an_unlabelled_stream_brings_what_the_variant_left_out() -> None:
    from sftbench.builtin.variants.thinned import FewShot

    class FiveShot(FewShot):
        name = "five-shot"
        example = "5"

    Unlabelled.seen.clear()
    record = run(Unlabelled, FiveShot, batch_size=8)
    # 64 images, 16 of them validation, 20 labelled: 28 are left. Batches of 8, 8 and 4.
    assert Unlabelled.seen == [(8, 16, True), (8, 16, True), (4, 8, True)]
    assert record.counts.unlabelled_examples == 40
    assert record.counts.drawn_examples == 20
    assert record.counts.forward == 20 + 2 * 40


def test_an_unlabelled_stream_without_examples_says_so() -> None:
    record, _ = run_tiny(Unlabelled)
    assert record.error is not None
    assert record.error.message == (
        "stream 'rest' of strategy 'unlabelled' has no examples: unlabelled of tiny-images is "
        "empty under this variant"
    )


class Averaged(Strategy):
    """Weights averaged over steps: what is validated, selected and tested."""

    name = "averaged"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        self.average: Model | None = None
        return [Stage(name="train", after_step=self.after, eval_model=lambda _: self.average)]

    def after(self, model: Model, step: int) -> None:
        if self.average is None:
            self.average = copy.deepcopy(model)
            return
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), model.parameters(), strict=True):
                mean.lerp_(new, 1 / step)


def test_the_averaged_model_is_what_is_tested() -> None:
    kept: list[Model] = []

    class Spy(Averaged):
        name = "spy"

        def finalise(self, model: Model, ctx: StrategyContext) -> Model:
            assert model is self.average
            kept.append(model)
            return model

    run(Spy, epochs=3)
    assert len(kept) == 1
    averaged, plain = run(Averaged, epochs=3), run(epochs=3)
    assert averaged.value("nll") != plain.value("nll")


class Source(TinyImages):
    """A source set: the images with their colours turned round."""

    name = "tiny-source"

    def load(self, split: Split, image_size: int) -> Examples:
        examples = super().load(split, image_size)
        return Examples(255 - examples.inputs, examples.targets)


class Joint(Strategy):
    """A second head on a source set, trained in one loop with the target's."""

    name = "joint"
    sources = ("tiny-source",)
    losses: list[float] = []

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        classes = ctx.sources["tiny-source"].num_classes
        model.extra["source"] = nn.Linear(model.network.feature_width, classes)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        source = Stream(name="source", source="tiny-source", ratio=1.0)
        return [Stage(name="train", streams=(source,), loss=self.loss)]

    def loss(self, step: StepOutput) -> torch.Tensor:
        part = step.streams["source"]
        logits = step.model.extra["source"](part.features[0])
        source = nn.functional.cross_entropy(logits, part.targets)
        self.losses.append(float(source.detach()))
        return source + step.task_loss(step.logits, step.targets)


def test_a_second_head_learns_the_source_set_in_the_same_loop() -> None:
    from sftbench.testing import tiny_catalog

    Joint.losses.clear()
    record, _ = run_tiny(Joint, base=tiny_catalog(Source), epochs=20)
    assert record.status == "ok", record.error
    assert record.counts.source_examples == record.counts.drawn_examples == 20 * 48
    assert np.mean(Joint.losses[-5:]) < 0.8 * np.mean(Joint.losses[:5])


class Finaliser(Strategy):
    """Interpolates between the initial and the best weights, chosen on validation."""

    name = "finaliser"
    needs_initial_state = True
    scores: list[float] = []

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [
            Stage(name="head", trainable=ctx.is_head, share=0.5),
            Stage(name="train", share=0.5),
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        assert set(ctx.snapshots) == {"initial", "end:head", "end:train", "best"}
        best = {name: tensor.clone() for name, tensor in ctx.snapshots["best"].items()}
        self.scores.append(ctx.validate(model))
        model.load_state_dict(dict(ctx.snapshots["initial"]))
        self.scores.append(ctx.validate(model))
        model.load_state_dict(best)
        return model


def test_finalise_has_snapshots_and_validates() -> None:
    Finaliser.scores.clear()
    record = run(Finaliser, epochs=30, rates={"backbone": 0.01, "head": 0.01})
    best, initial = Finaliser.scores
    assert best == record.value("accuracy", "val")
    assert best > initial


class Carried(Strategy):
    """Two stages under one schedule; the optimiser's memory goes on."""

    name = "carried"
    carry = True
    momentum: list[bool] = []

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [
            Stage(name="one", share=0.5, update=self.update),
            Stage(name="two", share=0.5, update=self.update, carry=self.carry),
        ]

    def update(self, step: Any) -> None:
        state = step._optimizer.state
        self.momentum.append(bool(state))
        step.backward(step.loss())
        step.apply()


@pytest.mark.parametrize("carry", [True, False])
def test_a_carried_stage_goes_on_with_optimiser_and_schedule(*, carry: bool) -> None:
    class Case(Carried):
        name = "case"

    Case.carry, Case.momentum = carry, []
    record = run(Case, epochs=2, schedule="cosine", warmup=0.0)
    assert Case.momentum == [False, True, True, carry, True, True]
    rates = [row.rate for row in record.history if row.stage == "two" and row.epoch == 0]
    # Three steps of six are done: half a cosine, or its beginning.
    expected = 0.5 if carry else 1.0
    assert rates[0] == pytest.approx(expected * 3e-3)


def test_prepare_runs_before_the_stage_under_a_seed() -> None:
    class Anew(Strategy):
        name = "anew"
        heads: list[torch.Tensor] = []

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [
                Stage(name="train", share=0.5),
                Stage(name="head", share=0.5, trainable=ctx.is_head, prepare=self.prepare),
            ]

        def prepare(self, model: Model, ctx: StrategyContext) -> None:
            model.head.reset_parameters()
            self.heads.append(model.head.weight.detach().clone())

    first, again = run(Anew), run(Anew)
    assert torch.equal(*Anew.heads)
    assert first.metrics == again.metrics
    assert [stage.cached_features for stage in first.stages] == [False, True]


def test_rules_scale_rates_and_decay() -> None:
    class Scaled(Strategy):
        name = "scaled"
        groups: list[tuple[float, float]] = []

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", rule=self.rule, update=self.update)]

        def rule(self, name: str) -> ParamRule:
            return ParamRule(scale=0.1 if name.startswith("backbone.") else 1.0)

        def update(self, step: Any) -> None:
            self.groups.extend((g["peak"], g["weight_decay"]) for g in step._optimizer.param_groups)
            step.backward(step.loss())
            step.apply()

    run(Scaled, epochs=1, batch_size=64)
    found = {(round(peak, 9), decay) for peak, decay in Scaled.groups}
    # Weights and one-dimensional tensors of backbone (1e-3) and head (3e-3).
    assert found == {(1e-4, 0.01), (1e-4, 0.0), (3e-3, 0.01), (3e-3, 0.0)}


def test_shares_must_meet_the_budget() -> None:
    class Greedy(Strategy):
        name = "greedy"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="one", share=1.0), Stage(name="two", share=0.5)]

    record, _ = run_tiny(Greedy)
    assert record.error is not None
    assert record.error.message == (
        "the stages of strategy 'greedy' take 1.5 of the budget; its budget_factor is 1"
    )


def test_strategies_that_need_unlabelled_examples_are_skipped_where_a_variant_leaves_none() -> None:
    class Semi(Strategy):
        """Looks at images without labels, and makes nothing of them."""

        name = "semi"
        summary = "full, with a stream of images without labels"
        needs_unlabelled = True

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", streams=(Stream(name="more", source="unlabelled"),))]

    with pytest.raises(RequestError) as caught:
        run_tiny(Semi)
    assert str(caught.value).endswith(
        "is skipped: strategy semi learns from examples without labels, and variant balanced "
        "leaves none; use --variant labels:N"
    )
    assert run(Semi, Labels).counts.unlabelled_examples > 0
    assert [str(one) for one in check_component("strategy", Semi) if one.problem] == []
    # A variant that could leave some, and does not here: the cell says so.
    record, _ = run_tiny(Semi, WholeSubset)
    assert record.error is not None
    assert record.error.message == (
        "stream 'more' of strategy 'semi' has no examples: unlabelled of tiny-images is empty "
        "under this variant"
    )


class WholeSubset(Subset):
    """A share of 1."""

    example = "1"
