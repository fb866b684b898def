"""A training step through the engine beside a bare one, prediction, and what a cell costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from benchmarks.conftest import BATCH, NUM_IMAGES, Build
from sftbench.engine.predict import predict
from sftbench.engine.training import train
from sftbench.testing import run_tiny

_STEPS = NUM_IMAGES // BATCH


def test_bare_steps(benchmark: Any, workspace: Build) -> None:
    """The limit: forward, backward and step on one batch that is in memory already."""
    ws = workspace("full")
    indices = torch.from_numpy(ws.data.train_indices[:BATCH])
    inputs = ws.data.train.source.inputs(indices, "plain", None)
    targets = torch.from_numpy(ws.data.train_targets[:BATCH])
    optimizer = torch.optim.AdamW(ws.model.parameters(), lr=1e-4, fused=True)
    ws.model.train()

    def steps() -> None:
        for _ in range(_STEPS):
            F.cross_entropy(ws.model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()

    benchmark.pedantic(steps, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("strategy", ["full", "head-only"])
def test_engine(benchmark: Any, workspace: Build, strategy: str) -> None:
    """The same steps through the engine: batches, augmentation, rates, counting, a test of 2."""
    ws = workspace(strategy, limit_test=2)
    benchmark.pedantic(train, args=(ws,), rounds=5, warmup_rounds=1)


def test_prediction(benchmark: Any, workspace: Build) -> None:
    """Predictions for 256 images."""
    ws = workspace("full")
    benchmark(predict, ws.model, ws.task, ws.data.train, ws.data.train_indices, "fp32")


def test_tiny_cell(benchmark: Any) -> None:
    """A trivial cell: what is paid beyond the compute."""
    benchmark(run_tiny)
