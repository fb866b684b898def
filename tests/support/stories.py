"""A small store with known confusions, on the test split of the packaged Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from support.tables import record

from sftbench.contracts.task import Predictions
from sftbench.evaluation.classification import accuracy, per_class_recall
from sftbench.plan import Cell, Plan
from sftbench.protocol import Protocol
from sftbench.records import ClassResult, Failure, HistoryRow, Memory, Record, Timing
from sftbench.store import Store

LABELS = ("Shirt", "Boot", "Bag")
PROTOCOL = Protocol(image_size=64, limit_train=1200, limit_test=8, precision="fp32")
# Two test examples of each class but three of the first, by index in the test split.
INDEX = (3, 5, 8, 13, 21, 34, 55)
TARGETS = (0, 0, 0, 1, 1, 2, 2)
# What each seed answers: seed 0 takes a Shirt for a Bag, all take example 55 for a Shirt.
ANSWERS: Mapping[str, Sequence[Sequence[int]]] = {
    "full": [(0, 0, 2, 1, 1, 2, 0), (0, 0, 0, 1, 1, 2, 0), (0, 0, 0, 1, 0, 2, 0)],
    "head-only": [(0, 0, 0, 1, 1, 2, 2), (0, 0, 0, 1, 1, 2, 2), (0, 0, 0, 1, 1, 2, 0)],
}
CONFIDENT = 4.0
EVIL = "\x1b[31mred\x1b[0m\u202e<script>alert(1)</script>"


def cell(strategy: str, seed: int, **changes: Any) -> Cell:
    """A cell on the packaged data."""
    values: dict[str, Any] = {
        "backbone": "net",
        "weights": "pretrained",
        "dataset": "fashion-mnist-mini",
        "variant": "balanced",
        "strategy": strategy,
        "seed": seed,
        "task": "image-classification",
        "options": {},
        "protocol": PROTOCOL,
        "versions": {"strategy": 1},
    }
    return Cell(**(values | changes))


def answered(answers: Sequence[int], scale: float = CONFIDENT) -> Predictions:
    """Predictions of the test split: `scale` for the answer, 0 for others."""
    outputs = np.zeros((len(answers), len(LABELS)), np.float32)
    outputs[np.arange(len(answers)), list(answers)] = scale
    return Predictions(np.array(INDEX), np.array(TARGETS), outputs)


@cache
def test_fingerprint() -> str:
    """Of the test split that the packaged data has."""
    from sftbench.builtin.datasets.embedded import FashionMnistMini
    from sftbench.data.fingerprints import fingerprint

    return fingerprint(FashionMnistMini().load("test", 64))


def history(*losses: tuple[str, float, float | None, float | None]) -> tuple[HistoryRow, ...]:
    """Rows of (stage, epoch, train loss, validation loss)."""
    return tuple(
        HistoryRow(
            stage=stage,
            epoch=epoch,
            step=number,
            train_loss=train,
            val_loss=val,
            val_metric=None if val is None else 0.5 + 0.1 * number,
            rate=0.001 * (number + 1),
        )
        for number, (stage, epoch, train, val) in enumerate(losses)
    )


LOSSES = history(
    ("head", 0.0, 2.0, None),
    ("head", 1.5, 1.0, 0.9),
    ("train", 0.0, 1.0, None),
    ("train", 1.0, 0.5, 0.6),
    ("train", 1.5, 0.2, 0.9),
)


def ended_well(of: Cell, kept: Predictions, **changes: Any) -> Record:
    """The record that these predictions give."""
    recalls = per_class_recall(kept.outputs, kept.targets)
    support = np.bincount(kept.targets, minlength=len(LABELS))
    values: dict[str, Any] = {
        "metrics": {"selected": {"test": {"accuracy": accuracy(kept.outputs, kept.targets)}}},
        "per_class": tuple(
            ClassResult(
                label=label, train_count=120, support=int(support[place]), recall=recalls[place]
            )
            for place, label in enumerate(LABELS)
        ),
        "history": LOSSES,
        "timing": Timing(total_seconds=20.0 if of.strategy == "full" else 1.0),
        "provenance": {
            "weights": {"effective": "pretrained"},
            "data": {"test": test_fingerprint()},
        },
        "predictions": None,
    }
    return record(of, None, **(values | changes))


def broken(of_seed: int, **changes: Any) -> Record:
    """A cell that crashed in its second epoch."""
    return ended_well(
        cell("full", of_seed),
        answered(ANSWERS["full"][0]),
        status="crashed",
        metrics={},
        metric_specs=(),
        per_class=(),
        history=(HistoryRow(stage="train", epoch=1.5, step=12, train_loss=0.7, rate=0.1),),
        timing=Timing(total_seconds=12.5),
        memory=Memory(peak_rss_bytes=2_000_000_000),
        error=Failure(
            type="RuntimeError",
            message=f"cannot read {EVIL}",
            traceback="\n".join(f"  line {number}" for number in range(30)) + f"\n{EVIL}\n",
        ),
        **changes,
    )


def write_story_store(path: Path) -> Store:
    """Two groups of three seeds, with predictions of the test and validation splits."""
    store = Store(path)
    names = ("head-only", "full")
    store.add_plan(Plan(cells=tuple(cell(name, seed) for name in names for seed in range(3))))
    for name in names:
        for seed, answers in enumerate(ANSWERS[name]):
            test = answered(answers)
            # On validation the same answers, so that accuracy there is what it is on test.
            store.write(
                ended_well(cell(name, seed), test),
                {("test", "selected"): test, ("val", "selected"): answered(answers)},
            )
    return store
