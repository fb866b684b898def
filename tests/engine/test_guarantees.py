"""What a cell promises: frozen is frozen, the same seed gives the same bits, budgets are met."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sftbench.api import Model, Stage, Strategy, StrategyContext
from sftbench.builtin.strategies.head_only import HeadOnly
from sftbench.builtin.strategies.lp_ft import LpFt
from sftbench.builtin.strategies.scratch import Scratch
from sftbench.builtin.variants.thinned import FewShot
from sftbench.testing import run_tiny


def ok(*components: type, **changes: Any) -> Any:
    record, kept = run_tiny(*components, **changes)
    assert record.status == "ok", record.error
    return record, kept


def test_head_only_leaves_every_backbone_tensor_and_buffer_bit_identical() -> None:
    states: list[dict[str, torch.Tensor]] = []

    class Watched(HeadOnly):
        name = "watched"
        needs_initial_state = True

        def finalise(self, model: Model, ctx: StrategyContext) -> Model:
            states.append(dict(ctx.snapshots["initial"]))
            states.append(dict(model.state_dict()))
            return model

    ok(Watched, epochs=5)
    before, after = states
    assert any("running_mean" in name for name in before)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) is name.startswith("backbone."), name


def test_freezing_holds_without_cached_features_too() -> None:
    states: list[dict[str, torch.Tensor]] = []

    class LastBlock(Strategy):
        """Trains the last block: batch norm of the others must stay."""

        name = "last-block"
        needs_initial_state = True

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", trainable=lambda name: (ctx.block_of(name) or 0) >= 1)]

        def finalise(self, model: Model, ctx: StrategyContext) -> Model:
            states.append(dict(ctx.snapshots["initial"]))
            states.append(dict(ctx.snapshots["end:train"]))
            assert ctx.block_of("head.weight") is None
            return model

    record, _ = ok(LastBlock, epochs=2)
    before, after = states
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("backbone.model.0.") for name in changed)
    assert any("running_mean" in name for name in changed)
    assert record.stages[0].frozen_blocks == 1


@pytest.mark.parametrize("strategy", [HeadOnly, LpFt, Scratch])
def test_a_cell_run_twice_gives_the_same_predictions_bit_for_bit(strategy: type) -> None:
    (_, first), (_, again) = ok(strategy, epochs=2), ok(strategy, epochs=2)
    assert (
        first.keys()
        == again.keys()
        == {("test", "selected"), ("val", "selected"), ("test", "last"), ("val", "last")}
    )
    for key, kept in first.items():
        assert kept.outputs.tobytes() == again[key].outputs.tobytes()


def test_cached_features_give_what_the_whole_network_gives() -> None:
    class Uncached(HeadOnly):
        """The same training; a stream that is never used makes the engine run every block."""

        name = "uncached"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            from sftbench.api import Stream

            spare = Stream(name="spare", source="unlabelled", views=("plain",))
            return [Stage(name="head", trainable=ctx.is_head, streams=(spare,))]

    (cached, kept), (plain, seen) = ok(HeadOnly, FewShot, epochs=3), ok(Uncached, FewShot, epochs=3)
    assert cached.stages[0].cached_features
    assert cached.stages[0].views == 1
    assert not plain.stages[0].cached_features
    np.testing.assert_allclose(
        kept["test", "last"].outputs, seen["test", "last"].outputs, rtol=1e-4, atol=1e-5
    )


def test_selection_takes_the_best_epoch_on_validation_and_keeps_the_last_beside_it() -> None:
    record, kept = ok(epochs=6, rates={"backbone": 0.03, "head": 0.03}, schedule="constant")
    epochs = [row for row in record.history if row.val_metric is not None]
    assert len(epochs) == 6
    best = max(row.val_metric for row in epochs)
    assert record.value("accuracy", "val", "selected") == best
    assert record.value("accuracy", "val", "last") == epochs[-1].val_metric
    assert kept is not None


def test_without_validation_the_last_epoch_counts() -> None:
    record, kept = ok(validation_fraction=0.0, selection="last")
    assert set(kept) == {("test", "selected"), ("test", "last")}
    assert record.counts.val_examples == 0
    assert record.counts.train_examples == 64
    assert record.metrics["selected"] == record.metrics["last"]


def test_the_budget_is_met_to_the_example_and_shared_by_stages() -> None:
    record, _ = ok(LpFt, epochs=3)
    assert record.counts.drawn_examples == 3 * 48
    assert [stage.examples for stage in record.stages] == [72, 72]
    assert record.stages[0].trainable == 4 * 16 + 4
    assert record.counts.trainable == record.counts.parameters


def test_divergence_is_a_status_and_keeps_the_history() -> None:
    record, kept = run_tiny(
        epochs=30,
        rates=dict.fromkeys(("head_alone", "head", "backbone", "scratch"), 1e30),
        optimizer="momentum",
    )
    assert kept is None
    assert record.status == "diverged"
    assert record.error is not None
    assert "at step" in record.error.message
    assert record.history


def test_strategies_share_split_order_and_head() -> None:
    heads: list[torch.Tensor] = []

    class Look(HeadOnly):
        name = "look"

        def adapt(self, model: Model, ctx: StrategyContext) -> Model:
            heads.append(model.head.weight.detach().clone())
            return model

    class LookToo(Look):
        name = "look-too"

        def weights(self, requested: str) -> str:
            return "none"

    (first, _), (other, _) = ok(Look), ok(LookToo)
    assert torch.equal(*heads)
    assert first.provenance["data"] == other.provenance["data"]
    assert first.provenance["weights"]["effective"] == "pretrained"
    assert other.provenance["weights"]["effective"] == "none"


def test_dropout_is_seeded_by_the_cell() -> None:
    class Dropping(HeadOnly):
        name = "dropping"

        def adapt(self, model: Model, ctx: StrategyContext) -> Model:
            model.head = torch.nn.Sequential(torch.nn.Dropout(0.5), model.head)
            return model

    first, _ = ok(Dropping, epochs=2)
    torch.rand(5)
    again, _ = ok(Dropping, epochs=2)
    assert [row.train_loss for row in first.history] == [row.train_loss for row in again.history]


def test_the_order_of_examples_does_not_depend_on_the_name_of_a_stage() -> None:
    class Renamed(HeadOnly):
        name = "renamed"

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="quite another", trainable=ctx.is_head)]

    (first, _), (other, _) = ok(HeadOnly), ok(Renamed)
    assert first.metrics == other.metrics


def test_a_module_hooked_into_the_backbone_trains() -> None:
    moved: list[float] = []

    class Hooked(HeadOnly):
        name = "hooked"

        def adapt(self, model: Model, ctx: StrategyContext) -> Model:
            adapter = torch.nn.Conv2d(8, 8, 1)
            torch.nn.init.zeros_(adapter.weight)
            model.extra["adapter"] = adapter
            block = model.backbone.get_submodule("model.0")
            block.register_forward_hook(lambda _module, _args, out: out + adapter(out))
            return model

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", trainable=lambda n: n.startswith(("head.", "extra.")))]

        def finalise(self, model: Model, ctx: StrategyContext) -> Model:
            moved.append(float(model.extra["adapter"].weight.detach().abs().max()))
            return model

    record, _ = ok(Hooked, epochs=2)
    assert moved[0] > 0
    assert not record.stages[0].cached_features


def test_an_empty_validation_split_is_an_error_where_selection_needs_it() -> None:
    record, _ = run_tiny(limit_train=4, validation_fraction=0.1)
    assert record.error is not None
    assert record.error.message == (
        "validation_fraction 0.1 of 4 training examples leaves none to select on; raise it, or "
        'set selection = "last"'
    )


class Ruined(Strategy):
    """Learns for a while, then gives every class the number of the step."""

    name = "ruined"
    ruined_after = 0

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def ruin(model: Model, step: int) -> None:
            if step > self.ruined_after:
                with torch.no_grad():
                    for parameter in model.head.parameters():
                        parameter.fill_(step if parameter.ndim == 1 else 0.0)

        return [Stage(name="train", trainable=lambda _name: True, after_step=ruin)]


def test_the_best_epoch_on_validation_is_selected_and_the_last_is_kept_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = {row.epoch: row.step for row in ok(Scratch, epochs=12)[0].history}
    monkeypatch.setattr(Ruined, "ruined_after", steps[10.0])
    record, kept = ok(Ruined, epochs=12)
    scores = [row.val_metric for row in record.history if row.val_metric is not None]
    assert len(scores) == 12
    assert max(scores) > scores[-1]
    assert record.metrics["selected"]["val"]["accuracy"] == pytest.approx(max(scores))
    assert record.metrics["last"]["val"]["accuracy"] == pytest.approx(scores[-1])
    assert np.ptp(kept["test", "last"].outputs) == 0.0
    assert np.ptp(kept["test", "selected"].outputs) > 0.0
    assert record.value("accuracy") == record.metrics["selected"]["test"]["accuracy"]


def test_of_equal_epochs_the_later_is_selected_and_of_none_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ruined, "ruined_after", 0)
    for changes in ({}, {"selection": "last"}):
        record, kept = ok(Ruined, epochs=3, **changes)
        assert record.metrics["selected"].items() >= record.metrics["last"].items()
        assert np.array_equal(kept["test", "selected"].outputs, kept["test", "last"].outputs)


def test_without_selection_the_last_epoch_counts_though_another_was_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = {row.epoch: row.step for row in ok(Scratch, epochs=12)[0].history}
    monkeypatch.setattr(Ruined, "ruined_after", steps[10.0])
    record, _ = ok(Ruined, epochs=12, selection="last")
    assert record.metrics["selected"].items() >= record.metrics["last"].items()


def test_batch_norm_uses_the_batch_in_training_and_what_it_has_learned_in_evaluation() -> None:
    seen: set[tuple[bool, bool]] = set()

    class Spied(Strategy):
        """Trains everything."""

        name = "spied"

        def adapt(self, model: Model, ctx: StrategyContext) -> Model:
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.register_forward_hook(
                        lambda norm, _args, _output: seen.add(
                            (torch.is_grad_enabled(), norm.training)
                        )
                    )
            return model

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", trainable=lambda _name: True)]

    ok(Spied)
    assert seen == {(True, True), (False, False)}


def test_the_norm_of_all_gradients_together_is_clipped() -> None:
    moved: list[float] = []

    class Measured(Strategy):
        """Trains everything and measures how far it went."""

        name = "measured"
        needs_initial_state = True

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train", trainable=lambda _name: True, rate=0.5)]

        def finalise(self, model: Model, ctx: StrategyContext) -> Model:
            start = ctx.snapshots["initial"]
            steps = [p.detach() - start[name] for name, p in model.named_parameters()]
            moved.append(float(torch.cat([step.flatten() for step in steps]).norm()))
            return model

    plain = {"optimizer": "momentum", "momentum": 0.0, "schedule": "constant", "warmup": 0.0}
    for clip in (1e-3, 2e-3):
        record, _ = ok(Measured, epochs=0.01, clip_norm=clip, weight_decay=0.0, **plain)
        assert record.stages[0].steps == 1
    # One step of the rate times the clipped gradient, whose norm is the limit.
    assert moved == pytest.approx([0.5e-3, 1e-3], rel=1e-3)
