"""A store of many records, made from one real one: python -m benchmarks.many_records FOLDER.

20 data sets x 2 variants x 5 backbones x 50 strategies x 10 seeds are 100,000 records; each has the
length of a real one, and values with an effect of everything that it names. Files are written as
the store has them, but without waiting for the disk at each. The predictions beside a record are
one file under many names: a leaderboard opens none.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from pathlib import Path

import numpy as np

from sftbench.api import Cell, Plan, Record
from sftbench.predictions import write_predictions
from sftbench.store import Store
from sftbench.testing import run_tiny

DATASETS, VARIANTS, BACKBONES, STRATEGIES, SEEDS = 20, 2, 5, 50, 10
_MOST_LINKS = 10_000  # of one file; ext4 allows 65,000


def make_store(folder: Path, num_datasets: int = DATASETS) -> int:
    """Write the store and return its number of records; a plan a data set."""
    record, kept = run_tiny()
    assert kept is not None
    folder.mkdir(parents=True)
    table = folder / ".predictions.parquet"
    with table.open("wb") as file:
        rows = write_predictions(file, kept)
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    predictions = {"file": "attempt-1.parquet", "sha256": digest, "rows": rows}
    base = Record.model_validate({**record.model_dump(), "predictions": predictions})
    effects = np.random.default_rng(0).normal(0, 0.05, 1000)
    noise = np.random.default_rng(1)
    written = 0
    for dataset in range(num_datasets):
        cells: list[Cell] = []
        axes = (range(VARIANTS), range(BACKBONES), range(STRATEGIES), range(SEEDS))
        for variant, backbone, strategy, seed in itertools.product(*axes):
            cell = base.cell.model_copy(
                update={
                    "dataset": f"set-{dataset}",
                    "variant": ("balanced", "longtail:50")[variant],
                    "backbone": f"backbone-{backbone}",
                    "strategy": f"strategy-{strategy}",
                    "seed": seed,
                }
            )
            places = (dataset, 100 + backbone, 200 + strategy, 300 + variant)
            value = 0.6 + sum(effects[place] for place in places) + noise.normal(0, 0.02)
            if written % _MOST_LINKS == 0:
                table = _copy(folder, table, written)
            _write(folder, base, cell, float(np.clip(value, 0, 1)), table)
            cells.append(cell)
            written += 1
        Store(folder).add_plan(Plan(cells=tuple(cells), baseline="strategy-0"))
    return written


def _copy(folder: Path, table: Path, number: int) -> Path:
    copy = folder / f".predictions-{number}.parquet"
    copy.write_bytes(table.read_bytes())
    return copy


def _write(folder: Path, base: Record, cell: Cell, value: float, table: Path) -> None:
    values = {**base.metrics["selected"]["test"], "accuracy": value}
    metrics = {**base.metrics, "selected": {**base.metrics["selected"], "test": values}}
    changes = {"cell": cell, "cell_id": cell.cell_id, "metrics": metrics}
    record = base.model_copy(update=changes).sealed()
    place = folder / "cells" / record.cell_id
    place.mkdir(parents=True)
    os.link(table, place / "attempt-1.parquet")
    (place / "attempt-1.json").write_text(record.model_dump_json(indent=1))


if __name__ == "__main__":
    print(f"wrote {make_store(Path(sys.argv[1]))} records")
