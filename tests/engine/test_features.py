"""The cache of frozen features: who hits, who must not, and whose bits depend on what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sftbench.api import Job
from sftbench.assembly import build_workspace, resolve
from sftbench.engine.features import FeatureStore
from sftbench.engine.workspace import Workspace
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import tiny_catalog
from sftbench.warm import Warm


def workspace(warm: Warm, *, seed: int = 0, **changes: Any) -> Workspace:
    request = Request(
        backbone=("tiny-convnet",),
        dataset=("tiny-images",),
        strategy=("head-only",),
        seeds=(seed,),
        changes={"image_size": 12, **changes},
    )
    cell = make_plan(request, warm.catalog, "fp32").cells[0]
    return build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)


@pytest.fixture
def warm() -> Warm:
    return Warm(Job(out=Path("unused")), catalog=tiny_catalog())


EVERY = torch.arange(64)


def test_cells_of_other_seeds_share_rows(warm: Warm) -> None:
    store = FeatureStore()
    first, other = workspace(warm), workspace(warm, seed=1)
    rows = store.rows(first.model, first.data.train, 3, "fp32")
    assert rows is not None
    assert rows[EVERY].shape == (64, 16)
    assert store.rows(other.model, other.data.train, 3, "fp32") is rows
    assert rows.num_computed == 64


def test_a_changed_weight_buffer_block_size_split_or_precision_never_hits(warm: Warm) -> None:
    store = FeatureStore()
    ws = workspace(warm)
    rows = store.rows(ws.model, ws.data.train, 3, "fp32")
    assert store.rows(ws.model, ws.data.train, 2, "fp32") is not rows
    assert store.rows(ws.model, ws.data.test, 3, "fp32") is not rows
    assert store.rows(ws.model, ws.data.train, 3, "bf16") is not rows
    larger = workspace(warm, image_size=16)
    assert store.rows(larger.model, larger.data.train, 3, "fp32") is not rows
    buffer = ws.model.backbone.get_buffer("model.2.1.running_mean")
    buffer[0] += 1
    assert store.rows(ws.model, ws.data.train, 3, "fp32") is not rows
    buffer[0] -= 1
    with torch.no_grad():
        next(ws.model.backbone.parameters())[0, 0, 0, 0] += 1e-3
    assert store.rows(ws.model, ws.data.train, 3, "fp32") is not rows


def test_an_adaptation_without_tensors_never_hits(warm: Warm) -> None:
    store = FeatureStore()
    ws = workspace(warm)
    rows = store.rows(ws.model, ws.data.train, 3, "fp32", structure="a")
    assert store.rows(ws.model, ws.data.train, 3, "fp32", structure="a") is rows
    assert store.rows(ws.model, ws.data.train, 3, "fp32", structure="b") is not rows


def test_a_block_behind_the_prefix_does_not_matter(warm: Warm) -> None:
    store = FeatureStore()
    ws = workspace(warm)
    rows = store.rows(ws.model, ws.data.train, 1, "fp32")
    with torch.no_grad():
        ws.model.backbone.get_parameter("model.2.0.weight").add_(1)
    assert store.rows(ws.model, ws.data.train, 1, "fp32") is rows


def test_too_large_features_are_not_kept(warm: Warm) -> None:
    ws = workspace(warm)
    assert FeatureStore(limit_bytes=1000).rows(ws.model, ws.data.train, 3, "fp32") is None


def test_the_oldest_rows_go_first(warm: Warm) -> None:
    ws = workspace(warm)
    store = FeatureStore(limit_bytes=64 * 16 * 4 + 64 * 12 * 9 * 4)
    first = store.rows(ws.model, ws.data.train, 3, "fp32")
    assert first is not None
    first[EVERY]
    second = store.rows(ws.model, ws.data.train, 2, "fp32")
    assert second is not None
    second[EVERY]
    third = store.rows(ws.model, ws.data.test, 2, "fp32")
    assert third is not None
    third[EVERY[:32]]
    store.rows(ws.model, ws.data.test, 2, "fp32")
    assert store.rows(ws.model, ws.data.train, 3, "fp32") is not first


@pytest.mark.parametrize("backbone", ["tiny-convnet", "tf_efficientnet_lite0", "test_vit"])
def test_the_bits_of_a_row_do_not_depend_on_who_asked_before(warm: Warm, backbone: str) -> None:
    request = Request(
        backbone=(backbone,),
        dataset=("fashion-mnist-mini",),
        strategy=("head-only",),
        weights=("none",),
        seeds=(0,),
        changes={"image_size": 160 if backbone == "test_vit" else 32},
    )
    cell = make_plan(request, warm.catalog, "fp32").cells[0]
    ws = build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)
    k = ws.model.network.num_blocks
    found = []
    for asked in ([7], [300, 5, 7, 900], list(range(150))):
        rows = FeatureStore().rows(ws.model, ws.data.train, k, "fp32")
        assert rows is not None
        rows[torch.tensor(asked)]
        found.append(rows[torch.tensor([7])])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
