"""Data made by code, and cells of real components on it, cut to a few steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sftbench.api import Cell, Job
from sftbench.assembly import build_workspace, resolve
from sftbench.discovery import build_catalog
from sftbench.engine.workspace import Workspace
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.warm import Warm

NUM_IMAGES, BATCH, IMAGE_SIZE = 256, 32, 96

Build = Callable[..., Workspace]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every benchmark a cache of its own, which is empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SFTBENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for `arrays:PATH`: ten classes of coloured noise, 32 x 32."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for split, count in (("train", NUM_IMAGES), ("test", 64)):
        pixels = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        np.save(folder / f"{split}_images.npy", pixels)
        np.save(folder / f"{split}_labels.npy", np.arange(count, dtype=np.int64) % 10)
    (folder / "dataset.json").write_text(json.dumps({"horizontal_flip": True}))
    return folder


@pytest.fixture
def new_warm() -> Callable[[], Warm]:
    """Return a function that gives a new worker's memory."""
    return lambda: Warm(Job(out=Path("unused")), catalog=build_catalog(chosen=""))


@pytest.fixture
def cells(images: Path) -> Callable[..., Sequence[Cell]]:
    """Return a function `cells(strategy, seeds, **protocol)` that plans cells of one epoch."""

    def make(strategy: str, seeds: Sequence[int] = (0,), **changes: Any) -> Sequence[Cell]:
        protocol = {
            "epochs": 1,
            "batch_size": BATCH,
            "image_size": IMAGE_SIZE,
            "validation_fraction": 0.0,
            "selection": "last",
            "precision": "fp32",
        }
        request = Request(
            dataset=(f"arrays:{images}",),
            strategy=(strategy,),
            seeds=tuple(seeds),
            changes=protocol | changes,
            baseline=strategy,
        )
        return make_plan(request, build_catalog(chosen=""), "fp32").cells

    return make


@pytest.fixture
def workspace(cells: Callable[..., Sequence[Cell]], new_warm: Callable[[], Warm]) -> Build:
    """Return a function `workspace(strategy, warm=None, **protocol)` that lays out one cell."""

    def build(strategy: str, warm: Warm | None = None, **changes: Any) -> Workspace:
        [cell] = cells(strategy, **changes)
        memory = warm or new_warm()
        return build_workspace(cell, resolve(cell, memory), memory, lambda *_: None)

    return build
