"""Cells that are laid out and not run, and cells that are run on a worker of one's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sftbench.api import (
    BlockBackbone,
    Component,
    Dataset,
    DatasetInfo,
    Examples,
    Job,
    Record,
    Split,
)
from sftbench.assembly import build_workspace, resolve
from sftbench.cell import run_cell_safely
from sftbench.engine.workspace import Workspace
from sftbench.plan import Cell
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import TinyBackbone, tiny_catalog
from sftbench.warm import Warm


def make_warm(*components: type[Component], deterministic: bool = False, disk: bool = True) -> Warm:
    """Return the memory of a worker that knows the tiny components and these."""
    job = Job(out=Path("unused"), deterministic=deterministic)
    return Warm(job, catalog=tiny_catalog(*components), threads=1, disk=disk)


def make_cell(
    warm: Warm,
    strategy: str = "head-only",
    *,
    seed: int = 0,
    backbone: str = "tiny-convnet",
    dataset: str = "tiny-images",
    weights: str | None = None,
    variant: str = "balanced",
    precision: str = "fp32",
    **changes: Any,
) -> Cell:
    """Return a cell of 48 training and 16 validation images where nothing else is said."""
    protocol = {"image_size": 12, "validation_fraction": 0.25, "batch_size": 16, "epochs": 1}
    request = Request(
        backbone=(backbone,),
        dataset=(dataset,),
        strategy=(strategy,),
        variant=(variant,),
        seeds=(seed,),
        changes={**protocol, "precision": precision, **changes},
        baseline=strategy,
        **({} if weights is None else {"weights": (weights,)}),
    )
    plan = make_plan(request, warm.catalog, "fp32")
    assert not plan.skipped
    return plan.cells[0]


def make_workspace(warm: Warm, strategy: str = "head-only", **changes: Any) -> Workspace:
    """Lay out a cell of `make_cell`."""
    cell = make_cell(warm, strategy, **changes)
    return build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)


def run(warm: Warm, strategy: str = "head-only", **changes: Any) -> tuple[Record, Any]:
    """Run a cell of `make_cell`; it must end well."""
    record, kept = run_cell_safely(make_cell(warm, strategy, **changes), warm, lambda *_: None)
    assert record.status == "ok", record.error
    return record, kept


class _Pause(nn.Module):
    """Passes on what it is given, after a while."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.02)
        return x


class SlowBackbone(TinyBackbone):
    """The tiny network, so slow that two processes meet."""

    name = "slow-convnet"

    def build(self, image_size: int) -> nn.Module:
        network = super().build(image_size)
        assert isinstance(network, BlockBackbone)
        model = nn.Sequential(_Pause(), *network.model)
        return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))


class ManyImages(Dataset):
    """Two classes of noise, 1200 + 40 images."""

    name = "many-images"
    summary = "noise, for tests"

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            name="many-images", class_names=("a", "b"), num_train=1200, num_test=40, image_size=12
        )

    def load(self, split: Split, image_size: int) -> Examples:
        num = 1200 if split == "train" else 40
        images = np.random.default_rng(num).integers(0, 256, (num, 12, 12, 3), dtype=np.uint8)
        return Examples(images, np.arange(num, dtype=np.int64) % 2)


def run_slow(seed: int) -> tuple[int, str]:
    """Run a cell of the slow network; return how many images ran, and the bits of its outputs."""
    record, kept = run(
        make_warm(SlowBackbone, ManyImages),
        backbone="slow-convnet",
        dataset="many-images",
        seed=seed,
    )
    return record.counts.prefix_forward, kept["test", "last"].outputs.tobytes().hex()
