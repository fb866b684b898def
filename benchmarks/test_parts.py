"""Speed of the parts: batches, a training step beside a bare one, the store, the start-up."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sftbench.assembly import build_workspace, resolve
from sftbench.contracts.execution import Job
from sftbench.data.row_files import RowFile, RowForm, make_rows
from sftbench.discovery import build_catalog
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.predict import predict
from sftbench.engine.runtime import prepare_process
from sftbench.engine.training import train
from sftbench.engine.workspace import Workspace
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import run_tiny
from sftbench.warm import Warm

_STEPS = 8
_BATCH = 32


def workspace(strategy: str) -> Workspace:
    """Return the default plan's cell of a strategy, cut to a few steps, without validation."""
    catalog = build_catalog()
    changes: dict[str, Any] = {
        "limit_train": _STEPS * _BATCH,
        "limit_test": 2,
        "epochs": 1,
        "validation_fraction": 0.0,
        "selection": "last",
    }
    request = Request(strategy=(strategy,), seeds=(0,), changes=changes)
    cell = make_plan(request, catalog, "fp32").cells[0]
    warm = Warm(Job(out=Path("unused")), catalog=catalog)
    return build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)


def test_bare_step(benchmark: Any) -> None:
    """The limit: forward, backward and step on one batch that is in memory already."""
    prepare_process("cpu", threads=None, deterministic=False)
    ws = workspace("full")
    indices = torch.from_numpy(ws.data.train_indices[:_BATCH])
    inputs = ws.data.train.source.inputs(indices, "plain", None)
    targets = torch.from_numpy(ws.data.train_targets[:_BATCH])
    optimizer = torch.optim.AdamW(ws.model.parameters(), lr=1e-4, fused=True)
    ws.model.train()

    def steps() -> None:
        for _ in range(_STEPS):
            F.cross_entropy(ws.model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()

    benchmark.pedantic(steps, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("strategy", ["full", "head-only"])
def test_engine(benchmark: Any, strategy: str) -> None:
    """The same steps through the engine: batches, augmentation, rates, counting, two tests."""
    ws = workspace(strategy)
    benchmark.pedantic(train, args=(ws,), rounds=5, warmup_rounds=1)


def test_prediction(benchmark: Any) -> None:
    """Predictions for 256 images."""
    ws = workspace("full")
    benchmark(predict, ws.model, ws.data.train, ws.data.train_indices, "fp32")


def test_rows(benchmark: Any) -> None:
    """Gathering a batch of cached features."""
    form = RowForm(dtype="float32", shape=(1280,), num_rows=50_000)
    rows = FeatureRows(form, torch.device("cpu"), 128)
    rows.session = lambda: nullcontext(lambda _indices, num: torch.zeros(num, 1280))
    rows.bring(torch.arange(50_000))
    generator = np.random.default_rng(0)
    benchmark(lambda: rows[torch.from_numpy(generator.integers(0, 50_000, _BATCH))])


def test_rows_from_disk(benchmark: Any, tmp_path: Path) -> None:
    """Reading and checking 2,000 features of a few megabytes that are not in memory."""
    make_rows(tmp_path, RowForm(dtype="float32", shape=(1280,), num_rows=50_000))
    indices = np.arange(0, 50_000, 25)
    content = np.random.default_rng(0).integers(0, 256, (2000, 5120), dtype=np.uint8)
    with RowFile(tmp_path) as file:
        file.write(indices, content)
        into = np.empty_like(content)
        assert benchmark(file.read, indices, into).all()
    assert np.array_equal(into, content)


def test_tiny_cell(benchmark: Any) -> None:
    """A trivial cell: what is paid beyond the compute."""
    benchmark(run_tiny)


@pytest.mark.parametrize("code", ["import click", "import sftbench.cli"])
def test_start_up(benchmark: Any, code: str) -> None:
    """Start-up of the command line beside the import of click alone."""
    benchmark.pedantic(
        subprocess.run, args=([sys.executable, "-c", code],), kwargs={"check": True}, rounds=10
    )
