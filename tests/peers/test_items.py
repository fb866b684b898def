from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.items import FULL, QUICK, Items, Scale
from benchmarks.peers.work import Outcome


@pytest.fixture
def items(tmp_path: Path) -> Items:
    # A folder that is there is taken as it is: planning looks at no image.
    for scale in (FULL, QUICK):
        for count in (scale.images, scale.large_images, scale.grid_images):
            (tmp_path / f"images-{count}").mkdir(exist_ok=True)
    return Items(tmp_path, FULL, "cpu", "fp32")


@pytest.mark.parametrize(("key", "cells"), [("f", 5 * 3 * 2), ("g", 8 * 3 * 2)])
def test_the_kinds_of_a_grid_stand_for_every_cell(items: Items, key: str, cells: int) -> None:
    item = items.make(key)
    article, sftbench = item.entries
    [grid] = sftbench.parts
    size = len(grid.work.strategies) * len(grid.work.seeds) * len(grid.work.variants)
    assert sum(part.times for part in article.parts) == size == cells


def test_the_kinds_of_the_mixed_grid(items: Items) -> None:
    parts = items.make("f").entries[0].parts
    counted = {(part.work.kind, part.work.variant): part.times for part in parts}
    assert counted == {
        (kind, variant): times * 3
        for kind, times in {"full": 3, "frozen": 1, "lp-ft": 1}.items()
        for variant in ("balanced", "longtail:10")
    }


def test_fifty_heads_differ_in_seed_and_rate_alone(items: Items) -> None:
    one, many = (entry.parts[0].work for entry in items.make("d").entries)
    assert len(many.seeds) * len(many.rates) == 50
    assert (one.strategies, one.folder, one.epochs) == (many.strategies, many.folder, many.epochs)


@pytest.mark.parametrize("key", "abcdfg")
@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_everybody_of_an_item_has_the_same_images(
    items: Items, tmp_path: Path, key: str, scale: Scale
) -> None:
    works = [
        part.work
        for entry in Items(tmp_path, scale, "cpu", "fp32").make(key).entries
        for part in entry.parts
    ]
    shared = {(w.folder, w.start, w.image_size, w.batch_size, w.epochs) for w in works}
    assert len(shared) == 1


def test_a_short_work_is_one_cell_of_a_few_batches(items: Items) -> None:
    [part] = items.make("g").entries[1].parts
    short = part.work.short(2)
    assert (short.limit, short.epochs, short.variants) == (128, 1, ("balanced",))
    assert len(short.strategies) == len(short.seeds) == 1


def outcome(**changes) -> Outcome:
    fields = {"seconds": 1.0, "images": 64, "steps": 1, "first_loss": 2.3, "final_loss": 2.0}
    return Outcome(**(fields | changes))


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("a", {}, None),
        ("a", {"final_loss": float("nan")}, "the final loss is nan"),
        ("a", {"steps": 0}, "0 steps on 64 images"),
        ("a", {"head_moved": False}, "the head did not move"),
        ("a", {"backbone_moved": False}, "the backbone did not move"),
        ("c", {"backbone_moved": True}, "the backbone moved"),
        ("c", {"backbone_moved": False, "head_moved": True}, None),
    ],
)
def test_work_that_was_not_done_is_told(items: Items, kind, changes, problem) -> None:
    work = items.make(kind).entries[0].parts[0].work
    assert outcome(**changes).problem(work) == problem
