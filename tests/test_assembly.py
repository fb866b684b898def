"""Which examples a cell trains, validates and tests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sftbench.api import Examples, Job, Split
from sftbench.assembly import build_workspace, resolve
from sftbench.engine.workspace import CellData
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import TinyImages, tiny_catalog
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


class Quartets(TinyImages):
    """Tiny images in groups of four, one of each class, as views of one image would be."""

    name = "quartets"

    def load(self, split: Split, image_size: int) -> Examples:
        given = super().load(split, image_size)
        groups = np.empty(len(given.targets), dtype=np.int64)
        for label in range(4):
            groups[given.targets == label] = np.arange(len(groups) // 4)
        return replace(given, groups=groups, unreadable=("x.png: an empty file",))


@pytest.mark.parametrize("limit", [None, 41])
def test_groups_stay_together_and_what_is_left_out_is_counted(
    tmp_path: Path, limit: int | None
) -> None:
    catalog = tiny_catalog(Quartets)
    request = Request(
        backbone=("tiny-convnet",),
        dataset=("quartets",),
        strategy=("full",),
        seeds=(0,),
        changes={
            "validation_fraction": 0.25,
            "image_size": 12,
            "limit_train": limit,
            "limit_test": 9,
            "skip_unreadable": True,
        },
        baseline="full",
    )
    warm = Warm(Job(out=tmp_path), catalog=catalog)
    [cell] = make_plan(request, catalog, "fp32").cells
    parts = resolve(cell, warm)
    found = build_workspace(cell, parts, warm, lambda *_: None).data
    groups = found.train.groups
    assert groups is not None
    train, val = groups[found.train_indices], groups[found.val_indices]
    assert not set(train) & set(val)
    assert (len(train), len(val)) == ((48, 16) if limit is None else (32, 8))
    for part in (train, val):
        assert set(np.bincount(part).tolist()) <= {0, 4}
    assert len(found.test_indices) == 8
    assert parts.hashes["unreadable"] == {"train": 1, "test": 1}
