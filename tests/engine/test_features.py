"""Features of frozen prefixes in memory: who hits, who must not, and whose bits depend on what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.workspaces import make_warm, make_workspace

from sftbench.api import Stage, Strategy, StrategyContext
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.features import FeatureStore, Prefix
from sftbench.engine.workspace import Workspace
from sftbench.warm import Warm

EVERY = torch.arange(64)


@pytest.fixture
def warm() -> Warm:
    return make_warm(disk=False)


def rows_of(ws: Workspace, k: int = 3, **changes: Any) -> FeatureRows:
    split = changes.pop("split", ws.data.train)
    rows = ws.feature_rows(ws.model, split, k)
    assert rows is not None
    return rows


def test_cells_of_other_seeds_share_rows(warm: Warm) -> None:
    first, other = make_workspace(warm), make_workspace(warm, seed=1)
    rows = rows_of(first)
    assert rows[EVERY].shape == (64, 16)
    assert rows_of(other) is rows
    assert rows.num_computed == first.work.prefix_forward == 64
    assert other.work.prefix_forward == 0


def test_a_changed_block_size_split_precision_or_task_never_hits(warm: Warm) -> None:
    ws = make_workspace(warm)
    rows = rows_of(ws)
    assert rows_of(ws) is rows
    assert rows_of(ws, 2) is not rows
    assert rows_of(ws, split=ws.data.test) is not rows
    assert rows_of(make_workspace(warm, precision="bf16")) is not rows
    assert rows_of(make_workspace(warm, image_size=16)) is not rows
    ws.structure = ws.structure.replace("image-classification:1", "image-classification:2")
    assert rows_of(ws) is not rows


@pytest.mark.parametrize("name", ["model.0.0.weight", "model.2.1.running_mean"])
def test_a_changed_parameter_or_buffer_never_hits(warm: Warm, name: str) -> None:
    ws = make_workspace(warm)
    rows = rows_of(ws)
    with torch.no_grad():
        ws.model.backbone.state_dict()[name].mul_(1.001).add_(1e-6)
    assert rows_of(ws) is not rows


def test_a_block_behind_the_prefix_does_not_matter(warm: Warm) -> None:
    ws = make_workspace(warm)
    rows = rows_of(ws, 1)
    with torch.no_grad():
        ws.model.backbone.get_parameter("model.2.0.weight").add_(1)
    assert rows_of(ws, 1) is rows


class _Heads(Strategy):
    """Trains the head alone."""

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="head", trainable=ctx.is_head)]


class OtherHead(_Heads):
    """Changes the head; the backbone stays as it was given."""

    name = "other-head"

    def adapt(self, model: Any, ctx: StrategyContext) -> Any:
        model.head = torch.nn.Linear(16, 4, bias=False)
        return model


class OtherActivation(_Heads):
    """Changes what the backbone computes and none of its tensors."""

    name = "other-activation"

    def adapt(self, model: Any, ctx: StrategyContext) -> Any:
        model.backbone.model[0][2] = torch.nn.GELU()
        return model


class Hooked(_Heads):
    """Changes what a block gives, from outside."""

    name = "hooked"

    def adapt(self, model: Any, ctx: StrategyContext) -> Any:
        model.backbone.model[0].register_forward_hook(lambda _module, _args, out: out * 2)
        return model


class Scaled(_Heads):
    """Changes weights behind torch's back."""

    name = "scaled"

    def adapt(self, model: Any, ctx: StrategyContext) -> Any:
        next(model.backbone.parameters()).data.mul_(2)
        return model


def test_an_adaptation_of_the_backbone_never_hits_and_one_of_the_head_does() -> None:
    warm = make_warm(OtherHead, OtherActivation, Hooked, Scaled, disk=False)
    given = rows_of(make_workspace(warm))
    assert rows_of(make_workspace(warm, "other-head")) is given
    found = [rows_of(make_workspace(warm, name)) for name in ("other-activation", "hooked")]
    for name, rows in zip(("other-activation", "hooked"), found, strict=True):
        assert rows is not given
        assert rows_of(make_workspace(warm, name)) is rows
    assert found[0] is not found[1]
    assert rows_of(make_workspace(warm, "scaled")) is not given


def test_what_finalise_builds_anew_runs_in_full(warm: Warm) -> None:
    ws = make_workspace(warm)
    assert rows_of(ws) is not None
    ws.model.backbone.get_submodule("model.1").register_forward_hook(lambda *_: None)
    ws.known.forget()  # as the engine does when it gives the model away
    assert ws.feature_rows(ws.model, ws.data.train, 3) is None


def test_too_large_features_are_not_kept(warm: Warm) -> None:
    ws = make_workspace(warm)
    ws.features = FeatureStore(1000, disk=False)
    assert ws.feature_rows(ws.model, ws.data.train, 3) is None
    wanted = ws.data.val_indices[:15]  # of 64 bytes each
    assert ws.feature_rows(ws.model, ws.data.train, 3, wanted) is not None
    assert ws.feature_rows(ws.model, ws.data.train, 3, ws.data.train_indices) is None


def test_rows_of_earlier_cells_do_not_count_against_a_later_one(warm: Warm) -> None:
    ws = make_workspace(warm)
    ws.features = FeatureStore(40 * 64, disk=False)  # room for 40 rows of 64
    first = ws.feature_rows(ws.model, ws.data.train, 3, EVERY[:30].numpy())
    assert first is not None
    later = ws.feature_rows(ws.model, ws.data.train, 3, EVERY[30:].numpy())
    assert later is not None
    assert later.nbytes == 34 * 64


def test_rows_that_nobody_asks_for_take_no_room(warm: Warm) -> None:
    ws = make_workspace(warm)
    rows = ws.feature_rows(ws.model, ws.data.train, 3, ws.data.val_indices)
    assert rows is not None
    assert rows.nbytes == 16 * 64
    assert rows[EVERY].shape == (64, 16)
    assert rows.nbytes == 64 * 64


def test_the_oldest_rows_go_first(warm: Warm) -> None:
    ws = make_workspace(warm)
    ws.features = FeatureStore(64 * 16 * 4 + 64 * 12 * 9 * 4, disk=False)
    first = rows_of(ws)
    first.bring(EVERY)
    rows_of(ws, 2).bring(EVERY)
    rows_of(ws, 2, split=ws.data.test).bring(EVERY[:32])
    assert rows_of(ws, 2, split=ws.data.test) is not first
    assert rows_of(ws) is not first


def test_released_rows_give_what_they_have_and_refuse_the_rest(warm: Warm) -> None:
    ws = make_workspace(warm)
    rows = ws.feature_rows(ws.model, ws.data.train, 3, ws.data.val_indices)
    assert rows is not None
    held = torch.from_numpy(ws.data.val_indices)
    before = rows[held]
    warm.release()
    assert torch.equal(rows[held], before)
    with pytest.raises(RuntimeError, match="released"):
        rows[EVERY]


def test_rows_are_computed_in_calls_of_one_shape(
    warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = make_workspace(warm)
    rows = rows_of(ws)
    shapes: list[int] = []
    forward_to = ws.model.network.forward_to

    def watched(x: torch.Tensor, k: int) -> torch.Tensor:
        shapes.append(len(x))
        assert not torch.is_grad_enabled()
        return forward_to(x, k)

    monkeypatch.setattr(ws.model.backbone, "forward_to", watched)
    rows[torch.tensor([3])]
    rows[EVERY]
    assert shapes == [1, 128, 1, 128]  # the single ones find out what can be folded
    assert ws.work.prefix_forward == 64


@pytest.mark.parametrize("backbone", ["tiny-convnet", "tf_efficientnet_lite0", "test_vit"])
def test_the_bits_of_a_row_do_not_depend_on_who_asked_before(warm: Warm, backbone: str) -> None:
    ws = make_workspace(
        warm,
        backbone=backbone,
        dataset="fashion-mnist-mini",
        weights="none",
        image_size=160 if backbone == "test_vit" else 32,
    )
    found = []
    for asked in ([7], [300, 5, 7, 900], list(range(150))):
        store = FeatureStore(disk=False)
        digest, _ = ws.known.digest(ws.model, 1)
        prefix = Prefix(
            model=ws.model,
            split=ws.data.train,
            k=ws.model.network.num_blocks,
            precision="fp32",
            digest=digest,
        )
        rows = store.rows(prefix, torch.tensor(asked))
        assert rows is not None
        found.append(rows[torch.tensor([7])])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
