"""Ways of updating parameters, step by step: against loops by hand, and on whole networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import timm
import torch
from support.strategies import laid_out
from support.workspaces import make_cell, make_warm, make_workspace
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from sftbench.api import (
    BlockBackbone,
    Examples,
    RequestError,
    Split,
    Stage,
    Strategy,
    StrategyContext,
)
from sftbench.builtin.strategies.averaged import ModelSoup, WiseFt
from sftbench.builtin.strategies.few_parameters import NormOnly
from sftbench.builtin.strategies.full import Full
from sftbench.builtin.strategies.sam import Sam
from sftbench.builtin.strategies.surgical import Surgical
from sftbench.engine.training import fit
from sftbench.models.model import Model
from sftbench.preparation import check_streams
from sftbench.testing import TinyBackbone, TinyImages, run_tiny, tiny_catalog

State = dict[str, Tensor]


def _copied(model: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _same(first: Any, second: Any) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("vit_tiny_patch16_224", {"img_size": 32, "depth": 4}), ("resnet18", {}), ("regnetx_002", {})],
)
def test_layer_decay_is_timms_on_every_parameter(name: str, arguments: dict[str, int]) -> None:
    bare: nn.Module = timm.create_model(name, num_classes=0, **arguments)
    network = BlockBackbone(bare, torch.zeros(2, 3, 32, 32))
    whole: nn.Module = timm.create_model(name, num_classes=4, **arguments)
    named = {id(parameter): key for key, parameter in whole.named_parameters()}
    theirs = {
        named[id(parameter)]: group["lr_scale"]
        for group in param_groups_layer_decay(whole, layer_decay=0.75, min_scale=0.2)
        for parameter in group["params"]
    }
    ws = laid_out("full")
    model = Model(network, nn.Linear(network.feature_width, 4))
    ws.ctx.num_blocks, ws.ctx.block_of = network.num_blocks, model.block_of
    strategy = cast(Strategy, tiny_catalog().create("strategy", "layer-decay", {"least": 0.2}))
    [stage] = strategy.stages(ws.ctx)
    assert stage.rule is not None
    inner = {
        key.removeprefix("model."): stage.rule(f"backbone.{key}").scale
        for key, _ in network.named_parameters()
    }
    assert inner == pytest.approx({key: theirs[key] for key in inner})
    assert set(theirs.values()) - set(inner.values()) == {1.0}  # what is left is the head
    assert stage.rule("head.weight").scale == 1.0


def test_a_backbone_without_norms_has_none_to_train() -> None:
    class Plain(TinyBackbone):
        name = "tiny-plain"

        def build(self, image_size: int) -> nn.Module:
            model = nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
            )
            return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))

        def pretrained(self, network: nn.Module) -> Any:
            return replace(super().pretrained(TinyBackbone().build(12)), head=None)

    record, _ = run_tiny(NormOnly, Plain)
    assert record.error is not None
    assert record.error.message == (
        "strategy 'norm-only': the backbone has no normalisation layer with parameters; "
        "head-only is what is left"
    )


class WatchedSam(Sam):
    """SAM that keeps the batches it was given."""

    name = "watched-sam"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        self.batches: list[tuple[Tensor, Tensor]] = []
        [stage] = super().stages(ctx)

        def update(step: Any) -> None:
            self.batches.append((step._inputs.clone(), step._targets.clone()))
            assert stage.update is not None
            stage.update(step)

        return [replace(stage, update=update)]


@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_sam_is_its_algorithm_and_norms_count_the_first_pass_alone(rho: float) -> None:
    plain = {
        "optimizer": "momentum", "momentum": 0.0, "schedule": "constant", "warmup": 0.0,
        "weight_decay": 0.0, "rates": {"head": 0.1, "backbone": 0.1},
    }  # fmt: skip
    ws = make_workspace(make_warm(WatchedSam), "watched-sam", **plain)
    ws.strategy.options = ws.strategy.options.model_copy(update={"rho": rho})
    by_hand = make_workspace(make_warm(), "full", **plain).model.train()
    fit(ws)
    assert isinstance(ws.strategy, WatchedSam)
    for inputs, targets in ws.strategy.batches:
        _step_by_hand(by_hand, inputs, targets, rho)
    for name, tensor in by_hand.state_dict().items():
        assert torch.allclose(ws.model.state_dict()[name], tensor, atol=1e-5), name
    assert int(ws.model.state_dict()["backbone.model.0.1.num_batches_tracked"]) == 3


def _step_by_hand(model: nn.Module, inputs: Tensor, targets: Tensor, rho: float) -> None:
    """Take one step of SAM at rate 0.1, without the engine."""
    parameters = list(model.parameters())
    loss = nn.functional.cross_entropy(model(inputs), targets)
    uphill = torch.autograd.grad(loss, parameters)
    norm = float(sum(float((g.double() ** 2).sum()) for g in uphill)) ** 0.5
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        for parameter, gradient in zip(parameters, uphill, strict=True):
            parameter.add_(rho * gradient / norm)
    loss = nn.functional.cross_entropy(model(inputs), targets)
    found = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        for parameter, first, second in zip(parameters, uphill, found, strict=True):
            parameter.sub_(rho * first / norm + 0.1 * second)


def test_sam_without_a_radius_is_its_optimiser_under_dropout_too() -> None:
    class Dropping(TinyBackbone):
        name = "tiny-dropping"

        def build(self, image_size: int) -> nn.Module:
            network = super().build(image_size)
            assert isinstance(network, BlockBackbone)
            model = nn.Sequential(*network.model, nn.Dropout(0.5))  # type: ignore[misc]
            return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))

    plain, sam = (
        run_tiny(cls, Dropping, settings=settings, image_size=12, epochs=2)
        for cls, settings in ((Full, {}), (Sam, {"rho": 0.0}))
    )
    assert plain[0].status == sam[0].status == "ok"
    assert plain[1] is not None
    assert sam[1] is not None
    for key, kept in plain[1].items():
        assert np.array_equal(kept.outputs, sam[1][key].outputs)


def test_surgery_tries_each_group_from_the_start_and_goes_on_from_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[State] = []

    class Watched(Surgical):
        name = "watched-surgical"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            def watch(stage: Stage) -> Stage:
                def prepare(model: Model, ctx: StrategyContext) -> None:
                    assert stage.prepare is not None
                    stage.prepare(model, ctx)
                    begun.append(_copied(model))

                return replace(stage, prepare=prepare)

            return [watch(stage) for stage in super().stages(ctx)]

    ws = make_workspace(make_warm(Watched), "watched-surgical", epochs=6)
    start = _copied(ws.model)
    scores = iter((0.25, 0.75, 0.75))  # of equals the one nearer to the stem
    monkeypatch.setattr("sftbench.engine.training._validate", lambda *_: next(scores))
    assert fit(ws).stage.name == "train"
    *trials, last = begun
    assert len(trials) == 3
    assert all(_same(trial, start) for trial in trials)
    assert _same(last, ws.ctx.snapshots["end:group-1"])
    assert ws.ctx.measures == {"group": 1.0}
    end = _copied(ws.model)
    moved = {name for name in end if not torch.equal(end[name], start[name])}
    assert moved
    assert all(name.startswith(("backbone.model.1.", "head.")) for name in moved)


def test_runs_of_a_soup_begin_alike_and_see_other_orders() -> None:
    starts: list[State] = []
    seen: list[Tensor] = []

    class Watched(ModelSoup):
        name = "watched-soup"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            def update(step: Any) -> None:
                if len(seen) % 3 == 0:
                    starts.append(_copied(step.model))
                seen.append(step._targets.clone())
                step.backward(step.loss())
                step.apply()

            return [replace(stage, update=update) for stage in super().stages(ctx)]

    ws = make_workspace(make_warm(Watched), "watched-soup")
    rates = [stage.rule("head.weight").scale for stage in ws.strategy.stages(ws.ctx) if stage.rule]
    assert rates == pytest.approx([0.5, 1.0, 2.0])
    fit(ws)
    assert len(seen) == 9
    assert _same(starts[0], starts[1])
    assert _same(starts[0], starts[2])
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:6]))
    ws.ctx.snapshots["end:run-3"] = _copied(ws.model)
    ws.strategy.options = ws.strategy.options.model_copy(update={"recipe": "uniform"})
    soup = ws.strategy.finalise(ws.model, ws.ctx).state_dict()
    ends = [ws.ctx.snapshots[f"end:run-{number}"] for number in (1, 2, 3)]
    for name in ("head.weight", "backbone.model.1.1.running_var"):
        mean = np.mean([end[name].double().numpy() for end in ends], axis=0)
        assert np.allclose(soup[name].numpy(), mean, atol=1e-6)


def test_wise_ft_keeps_the_tuned_counts_and_means_the_rest() -> None:
    ws = laid_out("wise-ft", epochs=2)
    fit(ws)
    ws.ctx.snapshots["best"] = _copied(ws.model)
    first, second = ws.ctx.snapshots["end:head"], ws.ctx.snapshots["best"]
    strategy = WiseFt(WiseFt.options_model(alpha=0.3))
    mixed = strategy.finalise(ws.model, ws.ctx).state_dict()
    for name, tensor in second.items():
        if name.endswith("num_batches_tracked"):
            assert int(mixed[name]) == int(tensor) > int(first[name])
        else:
            expected = 0.7 * first[name].double().numpy() + 0.3 * tensor.double().numpy()
            assert np.allclose(mixed[name].numpy(), expected, atol=1e-6)


class Again(TinyImages):
    """Ten of the target's test images among others."""

    name = "tiny-again"

    def load(self, split: Split, image_size: int) -> Examples:
        own, other = super().load(split, image_size), super().load("test", image_size)
        images = 255 - np.asarray(own.inputs)
        images[:10] = np.asarray(other.inputs)[:10]
        return Examples(images, own.targets)


def test_a_source_with_images_of_the_target_is_refused_before_anything_runs() -> None:
    warm = make_warm(Again)
    cell = make_cell(warm, "joint:tiny-again")
    with pytest.raises(RequestError) as caught:
        check_streams([cell], warm.catalog)
    assert str(caught.value) == (
        "source tiny-again of strategy 'joint:tiny-again': 10 of the 96 examples of the target "
        "tiny-images are among the source's; choose another source"
    )
    check_streams([make_cell(warm, "joint:digits"), make_cell(warm)], warm.catalog)
