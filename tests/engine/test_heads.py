"""Heads that train together end as each would alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sftbench.api import Cell, Job, Stage, StepOutput, Strategy, StrategyContext
from sftbench.cell import Kept, run_cell_safely
from sftbench.executors.units import MOST_CELLS, work_units
from sftbench.planning import make_plan
from sftbench.records import Record
from sftbench.request import Request
from sftbench.testing import tiny_catalog
from sftbench.testing.tiny import tiny_process
from sftbench.unit import run_unit
from sftbench.warm import Warm

Ran = tuple[Record, Kept | None]
PROTOCOL: dict[str, Any] = {"epochs": 2.5, "batch_size": 10, "image_size": 12}


class Head(Strategy):
    """Head-only with a loss and a sampler that know the class counts."""

    name = "weighing-head"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        shift = torch.as_tensor(ctx.train_counts, dtype=torch.float32).log()

        def loss(step: StepOutput) -> torch.Tensor:
            penalty = 1e-3 * step.features.float().square().mean() * (1 - step.progress)
            return step.task_loss(step.logits.float() + shift, step.targets) + penalty

        def sampler(targets: np.ndarray, progress: float) -> np.ndarray:
            return 1.0 + targets.astype(np.float64)

        return [Stage(name="head", trainable=ctx.is_head, loss=loss, sampler=sampler)]


class Looks(Head):
    """Its loss looks at a value, which a batched problem cannot."""

    name = "looking-head"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def loss(step: StepOutput) -> torch.Tensor:
            found = step.task_loss(step.logits, step.targets)
            return found if found.item() > 0 else 2 * found

        return [Stage(name="head", trainable=ctx.is_head, loss=loss)]


class Prepares(Head):
    """It wants to change each head first, which is done alone."""

    name = "preparing-head"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def prepare(model: Any, _ctx: StrategyContext) -> None:
            torch.nn.init.zeros_(model.head.bias)

        return [Stage(name="head", trainable=ctx.is_head, prepare=prepare)]


@pytest.fixture
def warm() -> Iterator[Warm]:
    with tiny_process():
        yield Warm(Job(out=Path("unused")), catalog=tiny_catalog(Head, Looks, Prepares))


def cells_of(
    warm: Warm,
    *,
    rates: Sequence[float] = (1e-2,),
    seeds: Sequence[int] = (0, 1, 2),
    precision: Any = "fp32",
    **axes: Any,
) -> list[Cell]:
    found: list[Cell] = []
    changes = PROTOCOL | axes.pop("changes", {})
    for rate in rates:
        request = Request(
            backbone=("tiny-convnet",),
            dataset=("tiny-images",),
            strategy=(axes.get("strategy", "head-only"),),
            weights=(axes.get("weights", "pretrained"),),
            variant=(axes.get("variant", "balanced"),),
            seeds=seeds,
            changes={**changes, "rates": {"head_alone": rate}},
        )
        found += make_plan(request, warm.catalog, precision).cells
    return found


def together(cells: Sequence[Cell], warm: Warm) -> tuple[list[Ran], list[int]]:
    """Run cells as units; return their ends in the order of `cells`, and sizes of what began."""
    begun: list[int] = []

    def told(started: Sequence[Cell]) -> Any:
        begun.append(len(started))
        return lambda *_: None

    units = work_units(cells, warm.catalog, deterministic=False)
    ran = {
        record.cell_id: (record, kept) for u in units for record, kept in run_unit(u, warm, told)
    }
    return [ran[cell.cell_id] for cell in cells], begun


def alone(cells: Sequence[Cell], warm: Warm) -> list[Ran]:
    return [run_cell_safely(cell, warm, lambda *_: None) for cell in cells]


def assert_same(found: Sequence[Ran], expected: Sequence[Ran], tolerance: float = 1e-5) -> None:
    for (mine, outputs), (other, others) in zip(found, expected, strict=True):
        assert mine.status == other.status == "ok", mine.error
        assert outputs is not None
        assert others is not None
        assert outputs.keys() == others.keys()
        for key, kept in outputs.items():
            np.testing.assert_array_equal(kept.index, others[key].index)
            np.testing.assert_array_equal(kept.targets, others[key].targets)
            np.testing.assert_allclose(
                kept.outputs, others[key].outputs, atol=tolerance, rtol=tolerance
            )
        same = {"seconds", "train_loss", "val_loss"}
        assert [r.model_dump(exclude=same) for r in mine.history] == [
            r.model_dump(exclude=same) for r in other.history
        ]
        losses = [[r.train_loss, r.val_loss or 0.0] for r in mine.history]
        expected_losses = [[r.train_loss, r.val_loss or 0.0] for r in other.history]
        np.testing.assert_allclose(losses, expected_losses, rtol=max(1e-4, tolerance))
        assert mine.stages == other.stages
        # Who came first ran the images through the backbone.
        own = {"prefix_forward"}
        assert mine.counts.model_dump(exclude=own) == other.counts.model_dump(exclude=own)
        assert mine.per_class == other.per_class
        seen = [record.metrics["selected"].get("train") for record in (mine, other)]
        assert seen[0] == seen[1]
        assert (seen[0] is None) is (mine.counts.val_examples == 0)


@pytest.mark.parametrize(
    ("strategy", "variant", "changes"),
    [
        ("head-only", "balanced", {}),
        ("head-only", "longtail:4", {"clip_norm": 0.05, "label_smoothing": 0.1}),
        ("head-only", "balanced", {"optimizer": "momentum", "schedule": "cosine"}),
        ("head-only", "balanced", {"selection": "last", "validation_fraction": 0.0}),
        ("weighing-head", "longtail:4", {"decay_all": True, "weight_decay": 0.1}),
        ("head-only+focal", "longtail:4", {"label_smoothing": 0.1}),
        ("head-only+class-balanced+sqrt-sampling", "longtail:4", {"label_smoothing": 0.1}),
        ("head-only+label-smoothing+progressive-sampling", "longtail:4", {}),
    ],
)
def test_seeds_and_rates_together_end_as_each_alone(
    warm: Warm, strategy: str, variant: str, changes: dict[str, Any]
) -> None:
    cells = cells_of(warm, rates=(3e-3, 1e-2), strategy=strategy, variant=variant, changes=changes)
    found, begun = together(cells, warm)
    assert begun == [6]
    assert_same(found, alone(cells, warm))
    assert {record.timing.shared_by_cells for record, _ in found} == {6}
    # Heads of other rates and seeds are others.
    tested = [kept["test", "last"].outputs for _, kept in found if kept is not None]
    assert len({outputs.tobytes() for outputs in tested}) == 6


def test_in_bf16_too(warm: Warm) -> None:
    cells = cells_of(warm, precision="bf16")
    found, begun = together(cells, warm)
    assert begun == [3]
    assert_same(found, alone(cells, warm), tolerance=2e-2)


def test_the_time_is_shared_in_equal_parts(warm: Warm) -> None:
    found, _ = together(cells_of(warm), warm)
    timings = [record.timing for record, _ in found]
    assert len({timing.train_seconds for timing in timings}) == 1
    assert timings[0].examples_per_second is not None
    seconds = [row.seconds for row in found[0][0].history]
    assert None not in seconds
    assert seconds == sorted(seconds)  # type: ignore[type-var]


def test_a_head_that_diverges_ends_alone(warm: Warm) -> None:
    cells = cells_of(warm, rates=(1e-2, 1e30), seeds=(0, 1), changes={"optimizer": "sgd"})
    found, begun = together(cells, warm)
    assert begun == [4]
    expected = alone(cells, warm)
    assert [record.status for record, _ in found] == ["ok", "ok", "diverged", "diverged"]
    assert_same(found[:2], expected[:2])
    for (mine, kept), (other, _) in zip(found[2:], expected[2:], strict=True):
        assert kept is None
        assert mine.error == other.error
        assert [row.step for row in mine.history] == [row.step for row in other.history]


@pytest.mark.parametrize(
    ("strategy", "weights", "begun"),
    [
        ("full", "pretrained", [1, 1, 1]),  # its strategy does not let us
        ("head-only", "none", [3, 1, 1, 1]),  # random features are each seed's own
        ("looking-head", "pretrained", [3, 1, 1, 1]),  # its loss cannot be batched
        ("preparing-head", "pretrained", [3, 1, 1, 1]),
    ],
)
def test_what_cannot_run_together_runs_one_by_one(
    warm: Warm, strategy: str, weights: str, begun: list[int]
) -> None:
    cells = cells_of(warm, strategy=strategy, weights=weights)
    found, begins = together(cells, warm)
    assert begins == begun
    assert_same(found, alone(cells, warm), tolerance=0)
    assert {record.timing.shared_by_cells for record, _ in found} == {1}


def test_units_hold_what_differs_in_seed_and_rates_alone(warm: Warm) -> None:
    cells = cells_of(warm, rates=(1e-3, 1e-2), seeds=range(3))
    other = cells_of(warm, variant="longtail:4", seeds=range(2))
    full = cells_of(warm, strategy="full", seeds=range(2))
    many = cells_of(warm, strategy="weighing-head", seeds=range(MOST_CELLS + 1))
    mixed = [cells[0], full[0], other[0], *cells[1:], full[1], other[1], *many]

    units = work_units(mixed, warm.catalog, deterministic=False)

    assert [len(unit) for unit in units] == [6, 1, 2, 1, MOST_CELLS, 1]
    assert units[0] == tuple(cells)
    assert all(len(unit) == 1 for unit in work_units(mixed, warm.catalog, deterministic=True))


def test_units_that_are_cut_stay_grids(warm: Warm) -> None:
    cells = [
        cell
        for rate in range(7)
        for cell in cells_of(warm, rates=[1e-3 * (rate + 1)], seeds=range(10))
    ]
    units = work_units(cells, warm.catalog, deterministic=False)
    assert [len(unit) for unit in units] == [63, 7]
    for unit in units:
        rates = {cell.protocol.rates.head_alone for cell in unit}
        assert len(unit) == len(rates) * len({cell.seed for cell in unit})
