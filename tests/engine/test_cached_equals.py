"""Cached features give what the whole network gives: in memory, and from the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import timm
import torch
from support.workspaces import make_cell, make_warm
from torch import nn

from sftbench.api import (
    Backbone,
    BackboneInfo,
    BlockBackbone,
    PretrainedWeights,
    Stage,
    Strategy,
    StrategyContext,
)
from sftbench.cell import run_cell_safely
from sftbench.engine.features import FeatureStore
from sftbench.models.freezing import state_digest


class Seeded(Backbone):
    """A small network of timm with seeded weights, as if they were trained."""

    model: ClassVar[str]
    size: ClassVar[int]

    def info(self) -> BackboneInfo:
        return BackboneInfo(image_size=self.size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def build(self, image_size: int) -> nn.Module:
        network = timm.create_model(self.model, num_classes=0)
        return BlockBackbone(network, torch.zeros(2, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            state = self.build(self.size).state_dict()
        digest = state_digest(state.items())
        return PretrainedWeights(state=state, head=None, digest=digest, origin="seed 3")


class Convolutions(Seeded):
    """With batch norm."""

    name, model, size = "seeded-convolutions", "test_efficientnet", 32


class Transformer(Seeded):
    """With a class token and positions."""

    name, model, size = "seeded-transformer", "test_vit", 160


class LastBlocks(Strategy):
    """Trains the head and the last `blocks` blocks."""

    name = "last-blocks"
    blocks = 0

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        first = ctx.num_blocks - self.blocks

        def trains(name: str) -> bool:
            block = ctx.block_of(name)
            return block is None or block >= first

        return [Stage(name="train", trainable=trains)]


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize(
    ("backbone", "precision"),
    [(Convolutions, "fp32"), (Transformer, "fp32"), (Transformer, "bf16")],
)
def test_outputs_agree(
    backbone: type[Seeded],
    precision: str,
    blocks: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(LastBlocks, "blocks", blocks)

    def run(features: FeatureStore | None = None) -> tuple[Any, Any]:
        warm = make_warm(LastBlocks, backbone)
        warm.features = features or warm.features
        cell = make_cell(
            warm,
            "last-blocks",
            backbone=backbone.name,
            dataset="fashion-mnist-mini",
            variant="fewshot:6",
            image_size=backbone.size,
            precision=precision,
            limit_train=120,
            limit_test=40,
            epochs=2,
        )
        record, kept = run_cell_safely(cell, warm, lambda *_: None)
        assert record.status == "ok", record.error
        return record, kept

    (first, computed), (later, read) = run(), run()
    plain, seen = run(FeatureStore(0, disk=False))  # nothing fits, so every block runs
    assert first.stages[0].cached_features
    assert not plain.stages[0].cached_features
    assert first.stages[0].frozen_blocks == plain.stages[0].frozen_blocks > 0
    assert [r.counts.prefix_forward for r in (first, later, plain)] == [130, 0, 0]
    # Training blocks on few images enlarges what rounding leaves, 1e-6 of the features.
    tolerance = (1e-3 if blocks else 1e-4) if precision == "fp32" else 3e-2
    for key, predictions in computed.items():
        assert np.array_equal(predictions.outputs, read[key].outputs)
        np.testing.assert_allclose(
            predictions.outputs, seen[key].outputs, rtol=tolerance, atol=tolerance
        )
