"""Sources of HTML reports from synthetic plans and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from support.tables import ExactScoring, cell, classes, record

from sftbench.contracts.task import Predictions
from sftbench.plan import Cell, Plan
from sftbench.records import HistoryRow, Memory, MetricSpec, Record, Timing
from sftbench.report.aggregate import aggregate
from sftbench.report.flat import rows
from sftbench.report.html.source import Source
from sftbench.verdicts.sections import find_sections

SPECS = (
    MetricSpec(name="accuracy", primary=True, chance=0.1),
    MetricSpec(name="ece", direction="min"),
)


def source(
    plans: Iterable[Plan],
    records: Mapping[str, Record],
    *,
    with_predictions: bool = True,
    with_intervals: bool = True,
    **changes: Any,
) -> Source:
    """What `Results.to_html` gives, with exact statistics of 100 examples in place of a store's."""
    plans = tuple(plans)
    names = {each.strategy for one in plans for each in one.cells}
    table = aggregate(
        plans, records, ExactScoring(num_examples=100, without=set() if with_intervals else names)
    )
    values: dict[str, Any] = {
        "name": "synthetic",
        "table": table,
        "rows": rows(table),
        "sections": find_sections(plans, records),
        "plans": plans,
        "problems": (),
        "predictions": logits if with_predictions else lambda _: None,
    }
    return Source(**(values | changes))


def logits(of: Record, num_examples: int = 100, num_classes: int = 4) -> Predictions | None:
    """Logits whose hits are the record's accuracy, the confidence growing with the index."""
    accuracy = of.value("accuracy")
    if accuracy is None:
        return None
    rng = np.random.default_rng(of.cell.seed)
    targets = np.arange(num_examples) % num_classes
    guesses = np.where(
        np.arange(num_examples) < accuracy * num_examples, targets, (targets + 1) % num_classes
    )
    outputs = rng.normal(0.0, 0.1, (num_examples, num_classes))
    outputs[np.arange(num_examples), guesses] += np.linspace(4.0, 0.5, num_examples)
    return Predictions(
        index=np.arange(num_examples, dtype=np.int64),
        targets=targets.astype(np.int64),
        outputs=outputs.astype(np.float32),
    )


def whole(of: Cell, accuracy: float, seconds: float = 10.0) -> Record:
    """A record with everything that plots are made from."""
    hits = [round(100 * accuracy) - 3 * number for number in range(4)]
    history = tuple(
        HistoryRow(
            stage="train",
            epoch=float(epoch),
            step=epoch,
            train_loss=2.0 / epoch,
            val_metric=accuracy * epoch / 3,
            rate=0.1,
        )
        for epoch in (1, 2, 3)
    )
    provenance = {
        "weights": {"effective": "pretrained", "digest": "a" * 64},
        "git": {"commit": "c" * 40, "dirty": False},
        "versions": {"sftbench": "0.1.0", "torch": "2.11.0"},
        "hardware": {"device": "cpu", "processor": "one", "cores": 2},
        "data": {"train": "1" * 16, "test": "2" * 16},
        "plugins": {"strategy": "sftbench 0.1.0"},
    }
    return record(
        of,
        accuracy,
        metric_specs=SPECS,
        metrics={"selected": {"test": {"accuracy": accuracy, "ece": 0.1}}},
        per_class=classes([max(0, hit) for hit in hits], train=[100, 50, 20, 5]),
        history=history,
        timing=Timing(
            setup_seconds=0.1 * seconds,
            train_seconds=0.7 * seconds,
            eval_seconds=0.1 * seconds,
            total_seconds=seconds,
            examples_per_second=100.0,
        ),
        memory=Memory(peak_rss_bytes=int(1e8 * (1 + accuracy))),
        provenance=provenance,
    )


def study(
    strategies: Mapping[str, float],
    seeds: int = 7,
    sections: Iterable[Mapping[str, Any]] = ({},),
    **changes: Any,
) -> tuple[Plan, dict[str, Record]]:
    """A plan and its records: each strategy about its accuracy, in each section."""
    cells: list[Cell] = []
    records: dict[str, Record] = {}
    for number, section in enumerate(sections):
        for place, (name, accuracy) in enumerate(strategies.items()):
            for seed in range(seeds):
                one = cell(name, seed, **section)
                value = min(1.0, max(0.0, accuracy + 0.01 * ((seed + place + number) % 3 - 1)))
                cells.append(one)
                records[one.cell_id] = whole(one, value, seconds=2.0 + 3.0 * place)
    return Plan(cells=tuple(cells), **changes), records
