"""Scores of a plan's backbones, and their agreement with what training gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftbench.contracts.execution import Job
from sftbench.errors import RequestError
from sftbench.plan import Cell
from sftbench.planning import make_plan
from sftbench.preparation import Told
from sftbench.records import Failure, MetricSpec, Record, ended
from sftbench.request import Request
from sftbench.testing import TinyBackbone, TinyImages, tiny_catalog
from sftbench.transferability import Scores, _correlations, keep_scores, score_plan


@pytest.fixture
def cells() -> list[Cell]:
    request = Request(
        backbone=("tiny-convnet",),
        dataset=("tiny-images",),
        strategy=("full", "scratch"),
        seeds=(0, 1),
        baseline="full",
    )
    return list(make_plan(request, tiny_catalog(TinyBackbone, TinyImages), "fp32").cells)


def record(cell: Cell, value: float, *, well: bool = True) -> Record:
    made = ended(cell, "failed", Failure(type="ValueError", message="no"), "2026-01-01")
    if not well:
        return made
    return made.model_copy(
        update={
            "status": "ok",
            "error": None,
            "metric_specs": (MetricSpec(name="accuracy", primary=True),),
            "metrics": {"selected": {"test": {"accuracy": value}}},
        }
    )


def test_scores_stand_beside_the_records_of_the_plan(tmp_path: Path, cells: list[Cell]) -> None:
    catalog = tiny_catalog(TinyBackbone, TinyImages)
    found = [record(cell, 0.5 + cell.seed / 10) for cell in cells]
    found[-1] = record(cells[-1], 0, well=False)
    told: list[tuple[str, int, int]] = []

    scores = score_plan(
        cells,
        {one.cell_id: one for one in found},
        catalog,
        Job(out=tmp_path),
        Told(progress=lambda *values: told.append(values)),
    )

    [score] = scores.scores  # scratch starts from no weights and has no features of its own
    assert (score.backbone, score.data) == ("tiny-convnet", "tiny-images/balanced")
    assert score.trained == {"full": (pytest.approx(0.55), 2), "scratch": (0.5, 1)}
    assert score.nearest is not None
    assert 0 <= score.nearest <= 1
    assert score.parameters > 0
    assert scores.correlations == ()  # one backbone has no order
    assert told == [("scoring frozen features", 1, 1)]
    path = keep_scores(scores, "0123", tmp_path / "new")
    assert Scores.model_validate_json(path.read_bytes()) == scores


def test_scores_are_the_same_again(tmp_path: Path, cells: list[Cell]) -> None:
    catalog = tiny_catalog(TinyBackbone, TinyImages)
    first, again = (
        score_plan(cells, {}, catalog, Job(out=tmp_path), Told()).scores[0] for _ in range(2)
    )
    assert (first.log_me, first.nearest) == (again.log_me, again.nearest)


def test_without_trained_weights_there_is_nothing_to_score(
    tmp_path: Path, cells: list[Cell]
) -> None:
    catalog = tiny_catalog(TinyBackbone, TinyImages)
    scratch = [cell for cell in cells if cell.strategy == "scratch"]
    with pytest.raises(RequestError, match="no cell of this plan starts from trained weights"):
        score_plan(scratch, {}, catalog, Job(out=tmp_path), Told())


def test_orders_are_compared_by_strategy_and_score(tmp_path: Path, cells: list[Cell]) -> None:
    catalog = tiny_catalog(TinyBackbone, TinyImages)
    [one] = score_plan(cells, {}, catalog, Job(out=tmp_path), Told()).scores
    scores = [
        one.model_copy(
            update={
                "backbone": str(number),
                "log_me": float(number),
                "nearest": None if number == 3 else -float(number),
                "trained": {"full": ([0.1, 0.3, 0.2, 0.4][number], 7)},
            }
        )
        for number in range(4)
    ]

    equal = [one.model_copy(update={"nearest": 0.5}) for one in scores]
    undecided = {one.score: one for one in _correlations(equal)}["nearest"]
    assert (undecided.kendall, undecided.spearman) == (None, None)

    found = {one.score: one for one in _correlations(scores)}

    assert found["log_me"].kendall == pytest.approx(2 / 3)  # 5 pairs agree, 1 does not
    assert found["log_me"].spearman == pytest.approx(0.8)
    assert found["log_me"].backbones == 4
    assert found["nearest"].kendall == pytest.approx(-1 / 3)
    assert found["nearest"].backbones == 3
