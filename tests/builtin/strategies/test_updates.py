"""Ways of updating parameters, against other implementations and invariants."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import timm
import torch
from support.strategies import laid_out, step
from timm.optim import param_groups_layer_decay
from torch import nn

from sftbench.api import BlockBackbone, Strategy
from sftbench.builtin.strategies.averaged import ALPHAS, mean_state, mixed_state
from sftbench.builtin.strategies.few_parameters import norm_parameters
from sftbench.builtin.strategies.layer_rates import rule_by_depth
from sftbench.engine.training import fit
from sftbench.models.model import Model
from sftbench.testing import TinyBackbone, TinyImages, run_tiny, tiny_catalog


def _class(name: str) -> type[Strategy]:
    return cast("type[Strategy]", tiny_catalog().get("strategy", name))


def _of(name: str, **options: Any) -> Strategy:
    return cast(Strategy, tiny_catalog().create("strategy", name, options))


def _outputs(name: str, which: str = "last", **settings: Any) -> np.ndarray:
    changes = settings.pop("changes", {})
    record, kept = run_tiny(_class(name), settings=settings, **changes)
    assert record.status == "ok", record.error
    assert kept is not None
    return np.asarray(kept["test", which].outputs)


def test_layer_decay_is_timms() -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=3)
    ours = Model(BlockBackbone(network, torch.zeros(2, 3, 32, 32)), nn.Linear(192, 4))
    ws = laid_out("full")
    ws.ctx.num_blocks, ws.ctx.block_of = ours.network.num_blocks, ours.block_of
    rule = rule_by_depth(ws.ctx, 0.75)
    theirs = {}
    whole = timm.create_model("vit_tiny_patch16_224", num_classes=4, img_size=32, depth=3)
    names = {id(p): name for name, p in whole.named_parameters()}
    for group in param_groups_layer_decay(whole, layer_decay=0.75):
        for parameter in group["params"]:
            theirs[names[id(parameter)]] = group["lr_scale"]
    # timm has the last norm in a layer with the head, which is none of the backbone's blocks here.
    inner = [name for name in theirs if name.startswith(("blocks.", "patch_embed", "pos_", "cls"))]
    found = {name: rule(f"backbone.model.{name}").scale for name in inner}
    depth = ws.ctx.num_blocks - (ours.block_of("backbone.model.blocks.2.attn.qkv.weight") or 0)
    shift = 0.75 ** (depth - 1)
    assert found == pytest.approx({name: theirs[name] * shift for name in inner})
    assert rule("head.weight").scale == theirs["head.weight"] == 1.0


def test_layer_decay_has_a_least_factor() -> None:
    ws = laid_out("full")
    rule = rule_by_depth(ws.ctx, 0.5, 0.3)
    names = [f"backbone.model.{block}.0.weight" for block in range(3)]
    assert [rule(name).scale for name in names] == [0.3, 0.3, 0.5]
    assert rule_by_depth(ws.ctx, 1 / 2.6)(names[0]).scale == pytest.approx(2.6**-3)


@pytest.mark.parametrize(
    ("epochs", "first_trained"), [(1, [0]), (2, [3, 0]), (4, [3, 2, 1, 0]), (9, [3, 2, 1, 0])]
)
def test_gradual_unfreezing_reaches_the_stem(epochs: int, first_trained: list[int]) -> None:
    ws = laid_out("gradual-unfreeze", epochs=epochs)
    stages = ws.strategy.stages(ws.ctx)
    names = [f"backbone.model.{block}.0.weight" for block in range(3)]
    thawed = [sum(not stage.trainable(name) for name in names) for stage in stages]
    assert thawed == first_trained
    assert [stage.carry for stage in stages] == [number > 0 for number in range(len(stages))]
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    if len(stages) > 1:
        assert stages[0].share == pytest.approx(1 / epochs)


def test_bias_only_and_norm_only_train_those() -> None:
    record, _ = run_tiny(_class("bias-only"))
    assert record.counts.trainable == 8 + 12 + 16 + 16 * 4 + 4
    record, _ = run_tiny(_class("norm-only"))
    assert record.counts.trainable == 2 * (8 + 12 + 16) + 16 * 4 + 4
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2)
    names = norm_parameters(vit)
    assert len(names) == 2 * (2 * 2 + 1)
    assert all("norm" in name for name in names)


def test_l2_sp() -> None:
    ws = laid_out("l2-sp")
    initial = {name: p.detach().clone() for name, p in ws.model.named_parameters()}
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in ws.model.parameters():
            parameter.add_(torch.randn_like(parameter))
    [stage] = _of("l2-sp", backbone=0.03, head=0.5).stages(ws.ctx)
    assert stage.penalty is not None
    logits = torch.zeros(2, 4)
    found = stage.penalty(step(logits, torch.zeros(2).long(), ws.model, initial=initial))
    now = {name: p.detach().double().numpy() for name, p in ws.model.named_parameters()}
    moved = sum(
        ((now[name] - initial[name].double().numpy()) ** 2).sum()
        for name in now
        if name.startswith("backbone.")
    )
    head = sum((value**2).sum() for name, value in now.items() if name.startswith("head."))
    assert float(found.detach()) == pytest.approx(0.015 * moved + 0.25 * head, rel=1e-5)
    assert stage.rule is not None
    assert stage.rule("backbone.x").weight_decay == 0.0


def test_bss() -> None:
    torch.manual_seed(0)
    features = torch.randn(5, 9)
    [stage] = _of("bss", k=2, strength=0.1).stages(laid_out("full").ctx)
    assert stage.penalty is not None
    found = stage.penalty(step(torch.zeros(5, 4), torch.zeros(5).long(), features=features))
    values = np.linalg.svd(features.numpy(), compute_uv=False)
    assert float(found.detach()) == pytest.approx(0.1 * (values[-2:] ** 2).sum(), rel=1e-4)


def test_penalties_of_no_strength_change_nothing() -> None:
    changes = {"weight_decay": 0.0}
    plain = _outputs("full", changes=changes)
    assert np.array_equal(_outputs("bss", strength=0.0, changes=changes), plain)
    assert np.array_equal(_outputs("l2-sp", backbone=0.0, head=0.0, changes=changes), plain)
    assert not np.array_equal(_outputs("bss", strength=1.0, changes=changes), plain)


def test_sam_without_a_radius_is_its_optimiser() -> None:
    plain = _outputs("full")
    assert np.array_equal(_outputs("sam", rho=0.0), plain)
    assert not np.array_equal(_outputs("sam", rho=0.05), plain)
    record, _ = run_tiny(_class("sam"))
    assert record.counts.backward == 2 * record.counts.drawn_examples


def test_sam_takes_the_gradient_uphill() -> None:
    """For w^2/2 in one dimension: the gradient at w + rho is w + rho."""
    weight = nn.Parameter(torch.tensor([2.0]))
    steps = []

    class OneStep:
        parameters = (weight,)

        def loss(self) -> torch.Tensor:
            return 0.5 * weight.square().sum()

        def backward(self, loss: torch.Tensor) -> None:
            loss.backward()

        def zero_grad(self) -> None:
            weight.grad = None

        def frozen_statistics(self) -> Any:
            import contextlib

            return contextlib.nullcontext()

        def apply(self) -> None:
            assert weight.grad is not None
            steps.append((weight.item(), weight.grad.item()))

    [stage] = _of("sam", rho=0.5).stages(laid_out("full").ctx)
    assert stage.update is not None
    stage.update(cast(Any, OneStep()))
    assert steps == [(2.0, 2.5)]


def test_ema_is_timms_formula() -> None:
    ws = laid_out("ema")
    [stage] = ws.strategy.stages(ws.ctx)
    assert stage.prepare is not None
    assert stage.after_step is not None
    assert stage.eval_model is not None
    stage.prepare(ws.model, ws.ctx)
    expected = ws.model.head.weight.detach().clone()  # type: ignore[union-attr, operator]
    for number in range(1, 4):
        stage.after_step(ws.model, number)
    average = stage.eval_model(ws.model)
    assert torch.equal(average.head.weight, expected)  # type: ignore[arg-type]  # of a constant
    torch.manual_seed(0)
    stage.prepare(ws.model, ws.ctx)
    for number in range(1, 6):
        with torch.no_grad():
            ws.model.head.weight.normal_()  # type: ignore[union-attr, operator]
        stage.after_step(ws.model, number)
        decay = max(0.0, min(0.9998, 1 - (1 + max(0, number - 1)) ** (-2 / 3)))
        now = ws.model.head.weight.detach()  # type: ignore[union-attr, operator]
        expected = decay * expected + (1 - decay) * now
    average = stage.eval_model(ws.model)
    assert torch.allclose(average.head.weight, expected, atol=1e-6)  # type: ignore[arg-type]


def test_ends_of_mixed_states_are_exact() -> None:
    torch.manual_seed(0)
    first = {"w": torch.randn(3), "n": torch.tensor(3)}
    second = {"w": torch.randn(3), "n": torch.tensor(5)}
    assert torch.equal(mixed_state((first, second), (1.0, 0.0))["w"], first["w"])
    assert torch.equal(mixed_state((first, second), (0.0, 1.0))["w"], second["w"])
    middle = mixed_state((first, second), (0.75, 0.25))
    assert torch.allclose(middle["w"], 0.75 * first["w"] + 0.25 * second["w"])
    assert int(middle["n"]) == 5
    assert torch.allclose(mean_state([first, second])["w"], (first["w"] + second["w"]) / 2)


def test_wise_ft_ends_are_the_probe_and_the_tuned_model() -> None:
    changes = {"epochs": 2, "selection": "last"}
    tuned = _outputs("lp-ft", "selected", changes=changes)
    assert np.array_equal(_outputs("wise-ft", "selected", alpha=1.0, changes=changes), tuned)
    probe = _outputs("head-only", "selected", changes={"epochs": 1, "selection": "last"})
    found = _outputs("wise-ft", "selected", alpha=0.0, changes=changes)
    assert np.allclose(found, probe, atol=1e-4)


def test_wise_ft_chooses_on_validation() -> None:
    record, _ = run_tiny(_class("wise-ft"), epochs=2)
    assert record.measures["alpha"] in ALPHAS
    assert record.counts.validations == len(ALPHAS)


@pytest.mark.parametrize("recipe", ["uniform", "greedy"])
def test_soups_have_k_budgets(recipe: str) -> None:
    record, _ = run_tiny(_class("model-soup"), settings={"k": 2, "recipe": recipe})
    assert record.counts.budget_factor == 2.0
    assert record.counts.drawn_examples == 2 * 48
    assert 1 <= record.measures["averaged_models"] <= 2


def test_a_greedy_soup_is_no_worse_on_validation_than_its_best() -> None:
    ws = laid_out("model-soup", epochs=2)
    end = fit(ws)
    assert end.stage.name == "run-3"
    scores = []
    assert ws.ctx.validate is not None
    state = {name: t.clone() for name, t in ws.model.state_dict().items()}
    ws.ctx.snapshots["end:run-3"] = state
    for number in (1, 2, 3):
        ws.model.load_state_dict(dict(ws.ctx.snapshots[f"end:run-{number}"]))
        scores.append(ws.ctx.validate(ws.model))
    found = ws.strategy.finalise(ws.model, ws.ctx)
    assert ws.ctx.validate(found) >= max(scores)


def test_surgical_goes_on_with_the_best_group() -> None:
    record, _ = run_tiny(_class("surgical"), epochs=6)
    assert [stage.name for stage in record.stages] == ["group-0", "group-1", "group-2", "train"]
    chosen = int(record.measures["group"])
    assert record.stages[3].trainable == record.stages[chosen].trainable
    fixed, _ = run_tiny(_class("surgical"), settings={"group": 2})
    assert fixed.stages[0].trainable == 16 * 108 + 32 + 16 * 4 + 4
    wrong, _ = run_tiny(_class("surgical"), settings={"group": 7})
    assert wrong.error is not None
    assert wrong.error.message == "surgical.group = 7: there are groups 0 to 2"


def test_joint_at_lambda_zero_trains_the_backbone_on_the_source_alone() -> None:
    ws = laid_out("joint:digits")
    model, extra = ws.model, ws.model.extra["source_head"]
    images, targets = torch.randn(6, 3, 12, 12), torch.arange(6)
    given = torch.randn(5, 3, 12, 12)

    def gradients(lam: float) -> dict[str, torch.Tensor]:
        from sftbench.api import StreamOutput

        model.zero_grad()
        logits, features = model.outputs(given)
        source_logits, source_features = model.outputs(images)
        out = StreamOutput((source_logits,), (source_features,), targets)
        one = step(logits, torch.zeros(5).long(), model, features=features, streams={"source": out})
        [stage] = _of("joint:digits", lam=lam).stages(ws.ctx)
        assert stage.loss is not None
        stage.loss(one).backward()
        found = model.named_parameters()
        return {name: p.grad.clone() for name, p in found if p.grad is not None}

    model.eval()
    at_zero = gradients(0.0)
    model.zero_grad()
    nn.functional.cross_entropy(extra(model.outputs(images)[1]), targets).backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(at_zero[f"backbone.{name}"], parameter.grad, atol=1e-6)
    more = gradients(2.0)
    assert not torch.allclose(
        more["backbone.model.0.0.weight"], at_zero["backbone.model.0.0.weight"]
    )


def test_joint_counts_its_source() -> None:
    record, _ = run_tiny(_class("joint"), settings={"source": "digits", "ratio": 0.5})
    assert record.status == "ok", record.error
    assert record.counts.source_examples == 24
    assert record.counts.drawn_examples == 48


def test_the_target_is_no_source() -> None:
    info, look = TinyImages().info(), TinyBackbone().info()
    reason = _of("joint:tiny-images").supports(info.task, look, info)
    assert reason == "source tiny-images is the target itself"
    assert _of("joint:digits").supports(info.task, look, info) is None
    other = _of("joint:simclr:digits").supports(info.task, look, info)
    assert other == "source simclr:digits is of task contrastive, not image-classification"


def test_discriminative_rates_hang_from_the_head() -> None:
    ws = laid_out("discriminative-lr")
    [stage] = ws.strategy.stages(ws.ctx)
    assert stage.rule is not None
    rates = ws.ctx.protocol.rates
    last = stage.rule("backbone.model.2.0.weight").scale * rates.backbone
    assert last == pytest.approx(rates.head / 2.6)
    first = stage.rule("backbone.model.0.0.weight").scale * rates.backbone
    assert first == pytest.approx(rates.head / 2.6**3)


def test_biases_of_attention_train_too() -> None:
    [stage] = _of("bias-only").stages(laid_out("full").ctx)
    assert stage.trainable("backbone.model.attn.in_proj_bias")
    assert not stage.trainable("backbone.model.attn.in_proj_weight")


def test_both_passes_of_sam_have_the_same_masks() -> None:
    draws = []

    class TwoPasses:
        parameters = (nn.Parameter(torch.tensor([2.0])),)

        def loss(self) -> torch.Tensor:
            draws.append(torch.rand(()).item())
            return self.parameters[0].sum()

        def backward(self, loss: torch.Tensor) -> None:
            loss.backward()

        def zero_grad(self) -> None:
            self.parameters[0].grad = None

        def frozen_statistics(self) -> Any:
            import contextlib

            return contextlib.nullcontext()

        def apply(self) -> None:
            return

    [stage] = _of("sam").stages(laid_out("full").ctx)
    assert stage.update is not None
    stage.update(cast(Any, TwoPasses()))
    assert draws[0] == draws[1]
