"""Which examples a cell trains, validates and tests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sftbench.api import Job
from sftbench.assembly import build_workspace, resolve
from sftbench.engine.workspace import CellData
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import tiny_catalog
from sftbench.warm import Warm


def data(tmp_path: Path) -> dict[tuple[str, str, int], CellData]:
    catalog = tiny_catalog()
    request = Request(
        backbone=("tiny-convnet",),
        dataset=("tiny-images",),
        variant=("balanced", "longtail:4"),
        strategy=("head-only", "full"),
        seeds=(0, 1),
        changes={
            "validation_fraction": 0.25,
            "image_size": 12,
            "limit_train": 40,
            "limit_test": 8,
        },
        baseline="head-only",
    )
    warm = Warm(Job(out=tmp_path), catalog=catalog)
    found = {}
    for cell in make_plan(request, catalog, "fp32").cells:
        parts = resolve(cell, warm)
        ws = build_workspace(cell, parts, warm, lambda *_: None)
        found[cell.variant, cell.strategy, cell.seed] = ws.data
    return found


def test_strategies_share_examples_and_seeds_share_the_test_set(tmp_path: Path) -> None:
    cells = data(tmp_path)
    assert len(cells) == 8
    first = cells["balanced", "full", 0]
    assert len(first.train_indices) + len(first.val_indices) == 40
    for (variant, strategy, seed), found in cells.items():
        assert np.array_equal(found.test_indices, first.test_indices)
        assert len(found.test_indices) == 8
        # Validation is carved before a variant thins the data, so variants share it.
        assert np.array_equal(found.val_indices, cells["balanced", "full", seed].val_indices)
        assert not np.intersect1d(found.train_indices, found.val_indices).size
        other = cells[variant, "head-only" if strategy == "full" else "full", seed]
        assert np.array_equal(found.train_indices, other.train_indices)
        whole = cells["balanced", strategy, seed].train_indices
        assert set(found.train_indices) <= set(whole)
        assert (len(found.train_indices) < len(whole)) is (variant == "longtail:4")
    for variant in ("balanced", "longtail:4"):
        one, two = (cells[variant, "full", seed].train_indices for seed in (0, 1))
        assert not np.array_equal(one, two)
