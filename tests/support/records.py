"""Records, cells and predictions for tests: small, whole, and the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sftbench.contracts.task import Predictions
from sftbench.plan import Cell
from sftbench.protocol import named_protocol
from sftbench.records import ClassResult, Failure, MetricSpec, Record, Status

Outputs = dict[tuple[str, str], Predictions]


def make_cell(**changes: Any) -> Cell:
    """Return a cell; `changes` replace its fields."""
    fields = {
        "backbone": "tiny",
        "weights": "pretrained",
        "dataset": "digits",
        "variant": "balanced",
        "strategy": "head-only",
        "seed": 0,
        "task": "image-classification",
        "options": {},
        "protocol": named_protocol("default", {"image_size": 8, "precision": "fp32"}),
        "versions": {"strategy": 1},
    }
    return Cell(**(fields | changes))


def make_record(cell: Cell | None = None, status: Status = "ok", **changes: Any) -> Record:
    """Return a draft as a worker makes it: attempt 1, no predictions, no checksum.

    Args:
        cell: Its cell; `make_cell()` where it is not given.
        status: Its end; one that is not ok has an error and no metrics.
        **changes: Replace fields.
    """
    cell = cell or make_cell()
    fields: dict[str, Any] = {
        "cell_id": cell.cell_id,
        "attempt": 1,
        "cell": cell,
        "status": status,
        "started_at": "2026-01-02T03:04:05.000+00:00",
        "finished_at": "2026-01-02T03:04:06.000+00:00",
        "provenance": {"versions": {"sftbench": "0.1.0"}},
    }
    if status == "ok":
        values = {"test": {"accuracy": 0.75, "nll": 0.5}, "val": {"accuracy": 1.0, "nll": 0.25}}
        fields |= {
            "metric_specs": (
                MetricSpec(name="accuracy", primary=True, chance=0.1),
                MetricSpec(name="nll", direction="min", range=(0.0, None)),
            ),
            "metrics": {"selected": values, "last": values},
            "per_class": (ClassResult(label="zero", train_count=9, support=4, recall=0.75),),
        }
    else:
        fields["error"] = Failure(type="RuntimeError", message="it broke", traceback="Traceback")
    return Record(**(fields | changes))


def make_predictions(rows: int = 4, classes: int = 3, seed: int = 0) -> Predictions:
    """Return predictions of `rows` x `classes` normal logits."""
    rng = np.random.default_rng(seed)
    return Predictions(
        index=np.arange(rows, dtype=np.int64),
        targets=rng.integers(0, classes, size=rows, dtype=np.int64),
        outputs=rng.standard_normal((rows, classes)).astype(np.float32),
    )


def make_outputs(rows: int = 4, classes: int = 3, seed: int = 0) -> Outputs:
    """Return the predictions of a cell whose selected weights are not its last."""
    return {
        (split, which): make_predictions(rows, classes, seed + number)
        for number, (split, which) in enumerate(
            (split, which) for split in ("test", "val") for which in ("selected", "last")
        )
    }
