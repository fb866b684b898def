"""Which backbone promises most, by its frozen features, beside what training it then gave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from sftbench.assembly import build_workspace, resolve
from sftbench.catalog import Catalog
from sftbench.contracts.execution import Job
from sftbench.contracts.strategy import Strategy
from sftbench.engine.runtime import products_in, settings_restored
from sftbench.engine.workspace import Workspace
from sftbench.errors import RequestError
from sftbench.evaluation.transferability import log_me, nearest_accuracy
from sftbench.files import make_folder, write_json
from sftbench.plan import Cell
from sftbench.preparation import Told
from sftbench.records import Record
from sftbench.warm import Warm

_MAX_BYTES = 64 << 20


class Score(BaseModel):
    """What one backbone's frozen features promise for one data set, and what training gave.

    Attributes:
        backbone: Its reference.
        weights: What it starts from.
        data: Data set and variant.
        protocol: Short hash of the protocol.
        log_me: Mean over seeds of the log maximum evidence on the training part, in nats.
        nearest: Mean over seeds of the 5-nearest-neighbour accuracy on the validation part; None
            where there is none.
        parameters: Of the backbone.
        seconds: For extracting and scoring, all seeds together.
        trained: Mean primary metric on the test split by strategy, and how many seeds it is of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    weights: str
    data: str
    protocol: str
    log_me: float
    nearest: float | None
    parameters: int
    seconds: float
    trained: dict[str, tuple[float, int]]


class Correlation(BaseModel):
    """How the order by a score agrees with the order by a strategy's results: -1 to 1.

    Attributes:
        data: Data set and variant.
        strategy: Whose results.
        score: `log_me` or `nearest`.
        kendall: Kendall's tau-b over backbones; None where all are equal.
        spearman: Spearman's rho; None likewise.
        backbones: How many there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    strategy: str
    score: str
    kendall: float | None
    spearman: float | None
    backbones: int


class Scores(BaseModel):
    """Every score of a plan, and their agreement with the results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: tuple[Score, ...]
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """What cells share that see the same features."""

    backbone: str
    weights: str
    dataset: str
    variant: str
    protocol: str


def score_plan(
    cells: Sequence[Cell], records: Mapping[str, Record], catalog: Catalog, job: Job, told: Told
) -> Scores:
    """Score the frozen features of every backbone of a plan; nothing is trained.

    The training part of each seed is scored, and validated on its validation part. The test split
    has no part in the scores; what stands beside them comes from records.

    Args:
        cells: Of the plan.
        records: By cell id.
        catalog: Of this process.
        job: Its first device is used.
        told: Is told how far it is.

    Raises:
        RequestError: No cell starts from trained weights.
    """
    places = _places(cells, catalog)
    if not places:
        raise RequestError("no cell of this plan starts from trained weights; see --weights")
    scores = []
    with settings_restored():
        warm = Warm(job, catalog=catalog)
        for done, (place, some) in enumerate(places.items(), start=1):
            scores.append(_score(place, some, cells, records, warm))
            told.progress("scoring frozen features", done, len(places))
    return Scores(scores=tuple(scores), correlations=tuple(_correlations(scores)))


def keep_scores(scores: Scores, plan_id: str, folder: Path) -> Path:
    """Write a plan's scores beside the records of a store, over those of an earlier time."""
    make_folder(folder)
    path = folder / f"transferability-{plan_id}.json"
    write_json(path, scores, _MAX_BYTES)
    return path


def _places(cells: Iterable[Cell], catalog: Catalog) -> dict[_Place, list[Cell]]:
    """Return one cell for each seed of each place, of strategies that use the cell's weights."""
    found: dict[_Place, dict[int, Cell]] = {}
    for cell in cells:
        strategy = cast(Strategy, catalog.create("strategy", cell.strategy, cell.options))
        if strategy.weights(cell.weights) != "none":
            found.setdefault(_Place(*cell.section), {}).setdefault(cell.seed, cell)
    return {place: list(by_seed.values()) for place, by_seed in found.items()}


def _score(
    place: _Place,
    some: Sequence[Cell],
    cells: Sequence[Cell],
    records: Mapping[str, Record],
    warm: Warm,
) -> Score:
    evidence, nearest, seconds, parameters = [], [], 0.0, 0
    for cell in some:
        ws = build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)
        with products_in(ws.device, ws.protocol.precision), ws.clock.measure("eval"):
            features, targets = _features(ws, validation=False)
            evidence.append(log_me(features, targets))
            if len(ws.data.val_indices):
                others = _features(ws, validation=True)
                nearest.append(nearest_accuracy(features, targets, *others))
        timing = ws.clock.timing(0)
        seconds += timing.setup_seconds + timing.eval_seconds
        parameters = sum(p.numel() for p in ws.model.backbone.parameters())
    return Score(
        backbone=place.backbone,
        weights=place.weights,
        data=f"{place.dataset}/{place.variant}",
        protocol=place.protocol,
        log_me=float(np.mean(evidence)),
        nearest=float(np.mean(nearest)) if nearest else None,
        parameters=parameters,
        seconds=seconds,
        trained=_trained(place, cells, records),
    )


def _features(ws: Workspace, *, validation: bool) -> tuple[Any, Any]:
    """Return frozen features float64 [n, D] and labels int64 [n] of one part of training."""
    data = ws.data
    indices = data.val_indices if validation else data.train_indices
    targets = data.train.targets[indices] if validation else data.train_targets
    rows = ws.feature_rows(ws.model, data.train, ws.model.network.num_blocks, indices)
    if rows is None:
        why = "have no labels" if ws.task.num_views != 1 else "do not fit the memory for them"
        raise RequestError(f"{data.info.name}: its features {why}, so they cannot be scored")
    features = rows[torch.from_numpy(indices)].double().flatten(1).cpu().numpy()
    if not np.isfinite(features).all():
        raise RequestError(f"{ws.structure.partition(':')[0]}: some of its features are not finite")
    return features, targets


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _trained(
    place: _Place, cells: Sequence[Cell], records: Mapping[str, Record]
) -> dict[str, tuple[float, int]]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for cell in cells:
        record = records.get(cell.cell_id)
        if _Place(*cell.section) != place or record is None or record.primary is None:
            continue
        value = record.value(record.primary.name)
        if record.status == "ok" and value is not None:
            values[cell.strategy].append(value)
    return {name: (float(np.mean(some)), len(some)) for name, some in values.items()}


def _correlations(scores: Iterable[Score]) -> list[Correlation]:
    """Compare the orders of three backbones or more on the same data."""
    from scipy import stats

    def _spearman(first: Sequence[float], second: Sequence[float]) -> float:
        if len(set(first)) == 1 or len(set(second)) == 1:  # scipy warns of it
            return float("nan")
        return float(stats.spearmanr(first, second).statistic)

    by_data: defaultdict[str, list[Score]] = defaultdict(list)
    for score in scores:
        by_data[score.data].append(score)
    found = []
    for data, same in by_data.items():
        for strategy in sorted({name for score in same for name in score.trained}):
            for kind in ("log_me", "nearest"):
                pairs = [
                    (promise, score.trained[strategy][0])
                    for score in same
                    if strategy in score.trained and (promise := getattr(score, kind)) is not None
                ]
                if len(pairs) >= 3:
                    promised, came = zip(*pairs, strict=True)
                    found.append(
                        Correlation(
                            data=data,
                            strategy=strategy,
                            score=kind,
                            kendall=_finite(stats.kendalltau(promised, came).statistic),
                            spearman=_finite(_spearman(promised, came)),
                            backbones=len(pairs),
                        )
                    )
    return found
