"""The minimum that the solver finds is the one that scikit-learn finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sftbench.api import Convex, Job, RequestError, Stage, Strategy, StrategyContext
from sftbench.assembly import build_workspace, resolve
from sftbench.cell import run_cell_safely
from sftbench.engine.lbfgs import minimise
from sftbench.engine.training import train
from sftbench.engine.workspace import Workspace
from sftbench.plan import Cell
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import tiny_catalog
from sftbench.testing.tiny import tiny_process
from sftbench.warm import Warm


class SolvesAll(Strategy):
    name = "solves-all"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="head", solver=Convex(l2=1.0))]


@pytest.fixture
def warm() -> Iterator[Warm]:
    with tiny_process():
        yield Warm(Job(out=Path("unused")), catalog=tiny_catalog(SolvesAll))


def cell_of(warm: Warm, strategy: str = "logistic-probe", **settings: Any) -> Cell:
    request = Request(
        backbone=("tiny-convnet",),
        dataset=("tiny-images",),
        strategy=(strategy,),
        seeds=(0,),
        changes={"image_size": 12, "validation_fraction": 0.25},
        settings={strategy.partition(":")[0]: settings} if settings else {},
        baseline=strategy,
    )
    [cell] = make_plan(request, warm.catalog, "fp32").cells
    return cell


def features(ws: Workspace) -> tuple[np.ndarray, np.ndarray]:
    rows = ws.feature_rows(ws.model, ws.data.train, ws.model.network.num_blocks)
    assert rows is not None
    chosen = rows[torch.from_numpy(ws.data.train_indices)]
    return chosen.double().numpy(), ws.data.train_targets


@pytest.mark.parametrize("penalty", [0.05, 0.316, 10.0])
def test_it_agrees_with_scikit_learn(warm: Warm, penalty: float) -> None:
    cell = cell_of(warm, f"logistic-probe:{penalty}", tolerance=1e-9)
    ws = build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)
    trained = train(ws)

    inputs, targets = features(ws)
    oracle = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000).fit(inputs, targets)

    head = trained.model.head
    np.testing.assert_allclose(head.weight.detach().numpy(), oracle.coef_, atol=2e-4)
    mine, theirs = head.bias.detach().numpy(), oracle.intercept_
    # A constant on every bias changes nothing.
    np.testing.assert_allclose(mine - mine.mean(), theirs - theirs.mean(), atol=2e-4)
    [stage] = ws.stages
    assert stage.solver == "lbfgs"
    assert stage.examples == ws.work.drawn == ws.work.forward > 5 * len(targets)


def test_it_computes_the_features_it_looks_at_and_no_others(warm: Warm) -> None:
    small = cell_of(warm)
    small = small.model_copy(
        update={"protocol": small.protocol.model_copy(update={"limit_train": 24})}
    )
    fresh = Warm(warm.job, catalog=warm.catalog, disk=False)
    record, _ = run_cell_safely(small, fresh, lambda *_: None)
    assert record.status == "ok", record.error
    counts = record.counts
    examples = counts.train_examples + counts.val_examples + counts.test_examples
    assert counts.prefix_forward == examples < 64


def test_its_record_says_what_was_solved(warm: Warm) -> None:
    record, kept = run_cell_safely(cell_of(warm), warm, lambda *_: None)
    assert record.status == "ok"
    assert kept is not None
    assert record.cell.strategy == "logistic-probe:0.316"
    [row] = record.history
    assert row.val_metric == record.value("accuracy", "val")
    assert record.counts.drawn_examples == record.stages[0].examples


def test_too_few_iterations_are_told(warm: Warm) -> None:
    cell = cell_of(warm, max_iterations=1, tolerance=1e-12)
    record, _ = run_cell_safely(cell, warm, lambda *_: None)
    assert record.status == "ok"
    assert record.stages[0].solver == "lbfgs (not converged)"


def test_more_than_a_head_is_refused(warm: Warm) -> None:
    cell = cell_of(warm, "solves-all")
    ws = build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)
    with pytest.raises(RequestError, match="it must train a linear head alone"):
        train(ws)


def test_many_problems_at_once_end_where_each_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(5, 6, 6, generator=generator, dtype=torch.float64)
    scale = torch.tensor([1e-2, 1.0, 1e2, 1.0, 1.0], dtype=torch.float64)
    matrices = scale[:, None, None] * (roots @ roots.mT + torch.eye(6, dtype=torch.float64))
    goals = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    goals[3] = 0.0

    def objective(points: Tensor) -> tuple[Tensor, Tensor]:
        away = points - goals
        slopes = (matrices @ away[:, :, None])[:, :, 0]
        return 0.5 * (away * slopes).sum(1), slopes

    start = torch.zeros(5, 6, dtype=torch.float64)
    found = minimise(objective, start, tolerance=1e-10, max_iterations=300)

    torch.testing.assert_close(found.points, goals, atol=1e-7, rtol=0)
    assert found.converged.all()
    assert found.iterations[3] == 0  # it began at its minimum
    assert (found.iterations[:3] > 3).all()


def test_the_valley_of_rosenbrock() -> None:
    """A problem with curvature of both signs: pairs without positive curvature are left out."""

    def objective(points: Tensor) -> tuple[Tensor, Tensor]:
        points = points.detach().requires_grad_()
        x, y = points.unbind(1)
        values = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        [slopes] = torch.autograd.grad(values.sum(), points)
        return values.detach(), slopes

    start = torch.tensor([[-1.2, 1.0], [0.0, 3.0]], dtype=torch.float64)
    found = minimise(objective, start, tolerance=1e-8, max_iterations=500)
    torch.testing.assert_close(found.points, torch.ones(2, 2, dtype=torch.float64))
