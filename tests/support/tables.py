"""Synthetic plans, records and predictions with known numbers, for verdicts and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sftbench.evaluation.resampling import Resampled, resample
from sftbench.plan import Cell, Plan
from sftbench.protocol import Protocol
from sftbench.records import (
    ClassResult,
    Failure,
    HistoryRow,
    Memory,
    MetricSpec,
    PredictionsFile,
    Record,
    Status,
    Timing,
)
from sftbench.verdicts.examples import Outcomes

ALL_REASONS = frozenset(
    {
        "DIVERGED",
        "RESOURCE",
        "CRASHED",
        "NO_LEARNING",
        "NEGATIVE_TRANSFER",
        "MINORITY_COLLAPSE",
        "OVERFIT",
        "MISCALIBRATED",
        "FORGETTING",
        "FRAGILE",
        "OOD_DISTORTION",
        "UNSTABLE",
    }
)
ACCURACY = MetricSpec(name="accuracy", primary=True, chance=0.1)
LABELS = ("Shirt", "Boot", "Bag", "Coat", "Dress", "Hat", "Sock", "Belt", "Tie", "Scarf")
PROTOCOL = Protocol(image_size=64, limit_train=1200, limit_test=1000, precision="fp32")


def cell(strategy: str, seed: int, **changes: Any) -> Cell:
    """A cell of the section that every test uses unless it says otherwise."""
    values: dict[str, Any] = {
        "backbone": "net",
        "weights": "pretrained",
        "dataset": "data",
        "variant": "balanced",
        "strategy": strategy,
        "seed": seed,
        "task": "image-classification",
        "options": {},
        "protocol": PROTOCOL,
        "versions": {"strategy": 1},
    }
    return Cell(**(values | changes))


def plan(strategies: Iterable[str], seeds: int = 7, **changes: Any) -> Plan:
    """Every strategy over seeds 0 to `seeds` - 1."""
    return Plan(cells=tuple(cell(name, s) for name in strategies for s in range(seeds)), **changes)


def classes(
    hits: Sequence[int], support: int = 100, train: Sequence[int] | None = None
) -> tuple[ClassResult, ...]:
    """Results of classes with `hits` of `support` test images each."""
    counts = train or [120] * len(hits)
    return tuple(
        ClassResult(
            label=LABELS[index], train_count=counts[index], support=support, recall=hit / support
        )
        for index, hit in enumerate(hits)
    )


def record(of: Cell, accuracy: float | None = 0.8, **changes: Any) -> Record:
    """A record of `of` that ended well; `accuracy` is its primary metric."""
    values: dict[str, Any] = {
        "cell_id": of.cell_id,
        "attempt": 1,
        "cell": of,
        "status": "ok",
        "metric_specs": (ACCURACY,),
        "metrics": {"selected": {"test": {"accuracy": accuracy}}},
        "timing": Timing(total_seconds=10.0, examples_per_second=100.0),
        "memory": Memory(peak_rss_bytes=500_000_000),
        "provenance": {"weights": {"effective": "pretrained"}},
        "started_at": "2025-01-01T00:00:00Z",
        "finished_at": "2025-01-01T00:00:10Z",
        "predictions": PredictionsFile(file="p.parquet", sha256="0" * 64, rows=1000),
    }
    return Record(**(values | changes))


def ended(of: Cell, status: Status, message: str = "it ended") -> Record:
    """A record of `of` that did not end well."""
    return record(
        of,
        None,
        status=status,
        metric_specs=(),
        metrics={},
        predictions=None,
        error=Failure(type="Error", message=message),
    )


def losses(*values: float, stage: str = "train") -> tuple[HistoryRow, ...]:
    """History rows of one stage with these train losses."""
    return tuple(
        HistoryRow(stage=stage, epoch=float(epoch), step=epoch + 1, train_loss=value, rate=0.1)
        for epoch, value in enumerate(values)
    )


def by_id(records: Iterable[Record]) -> dict[str, Record]:
    """Records by cell id."""
    return {one.cell_id: one for one in records}


def results(table: Mapping[str, Sequence[float]], **changes: Any) -> dict[str, Record]:
    """Records of strategies with one accuracy a seed."""
    return by_id(
        record(cell(name, seed), value, **changes)
        for name, values in table.items()
        for seed, value in enumerate(values)
    )


class ExactScoring:
    """Predictions whose hits are the record's accuracy: the first `accuracy` x N images are right.

    So two records differ on as few images as they can, and the examples add little variance.
    """

    def __init__(
        self,
        num_examples: int = 1000,
        reasons: frozenset[str] | None = ALL_REASONS,
        without: Iterable[str] = (),
    ) -> None:
        self.num_examples = num_examples
        self.reasons = reasons
        self.without = frozenset(without)

    def reasons_of(self, task: str, records: Iterable[Record]) -> frozenset[str] | None:
        return self.reasons

    def resampled_of(self, record: Record) -> Resampled | None:
        value = record.value("accuracy")
        if value is None or record.cell.strategy in self.without:
            return None
        hits = np.arange(self.num_examples) < round(value * self.num_examples)
        statistics = np.stack([hits, np.ones(self.num_examples)], axis=1).astype(np.float64)
        values = resample(statistics, lambda sums: sums[..., 0] / sums[..., 1])
        return Resampled(values, self.num_examples, "0" * 16, 0.0, self.reasons or frozenset())


class Hits:
    """Outcomes as `ExactScoring` has them: the first `accuracy` x N are right, the rest say 1."""

    def __init__(self, without: str = "", gives: bool | None = True) -> None:
        self.without = without
        self.gives = gives

    def gives_classes(self, task: str) -> bool | None:
        return self.gives

    def outcomes_of(self, record: Record) -> Outcomes | None:
        if record.cell.strategy == self.without:
            return None
        hits = np.arange(100) < round((record.value("accuracy") or 0.0) * 100)
        return Outcomes(np.arange(100), np.zeros(100, int), np.where(hits, 0, 1))
