"""`python -m benchmarks.scale`: verdicts of a large store, timed in a process of their own.

The store is written as sftbench leaves it, but without waiting for the disk at each file: a record
for each cell, beside it the resampled metric and its predictions. Only so many of the predictions
are different files (`--distinct`); the rest are hard links to them, since nothing here reads them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import click
import numpy as np

from sftbench.api import Cell, Plan, Predictions, Record
from sftbench.contracts.task import Task
from sftbench.discovery import build_catalog
from sftbench.predictions import write_predictions
from sftbench.records import PredictionsFile
from sftbench.report.markdown import render_markdown
from sftbench.resampled_files import write_resampled
from sftbench.results import Results
from sftbench.scoring import resampled_predictions
from sftbench.store import Store

BASELINE = "strategy-0"
_STRATEGIES, _SEEDS, _CLASSES = 50, 10, 10


@dataclass(frozen=True)
class Kept:
    """What stands beside a record: files, and the record's own words about them."""

    folder: Path
    file: PredictionsFile
    accuracy: float

    @property
    def predictions(self) -> Path:
        """The predictions file."""
        return self.folder / "predictions.parquet"

    @property
    def resampled(self) -> Path:
        """The resampled metric."""
        return self.folder / "resampled.parquet"


def write_store(folder: Path, num_cells: int, num_examples: int, num_distinct: int) -> None:
    """Write a store of so many cells: data sets x 50 strategies x 10 seeds.

    Args:
        folder: That is not there yet.
        num_cells: A multiple of 500.
        num_examples: Of the test split.
        num_distinct: Different files of predictions.
    """
    from sftbench.testing import run_tiny  # brings torch, which reading does without

    pool = list(_pool(folder / ".pool", num_examples, num_distinct))
    template, _ = run_tiny()
    grid = itertools.product(
        range(num_cells // (_STRATEGIES * _SEEDS)), range(_STRATEGIES), range(_SEEDS)
    )
    cells = []
    for number, (dataset, strategy, seed) in enumerate(grid):
        changes = {
            "dataset": f"set-{dataset}",
            "strategy": f"strategy-{strategy}",
            "seed": seed,
        }
        cell = template.cell.model_copy(update=changes)
        _write(folder, template, cell, pool[number * 7919 % len(pool)])
        cells.append(cell)
    Store(folder).add_plan(Plan(cells=tuple(cells), baseline=BASELINE))


def _pool(folder: Path, num_examples: int, num_distinct: int) -> Iterator[Kept]:
    """Write different predictions on one test split: accuracies from 0.6 to 0.9."""
    task = cast(Task, build_catalog(chosen="").create("task", "image-classification"))
    rng = np.random.default_rng(0)
    targets = rng.integers(_CLASSES, size=num_examples)
    for number in range(num_distinct):
        place = folder / str(number)
        place.mkdir(parents=True)
        logits = rng.standard_normal((num_examples, _CLASSES), dtype=np.float32)
        logits[np.arange(num_examples), targets] += np.float32(rng.uniform(1.7, 2.9))
        kept = Predictions(np.arange(num_examples), targets, logits)
        path = place / "predictions.parquet"
        with path.open("wb") as file:
            rows = write_predictions(file, {("test", "selected"): kept})
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        resampled = resampled_predictions(task, kept)
        write_resampled(place / "resampled.parquet", resampled, digest)
        named = PredictionsFile(file="attempt-1.parquet", sha256=digest, rows=rows)
        yield Kept(place, named, float(resampled.values[0]))


def _write(folder: Path, template: Record, cell: Cell, kept: Kept) -> None:
    metrics = {which: {**splits} for which, splits in template.metrics.items()}
    name = template.primary.name if template.primary else ""
    metrics["selected"]["test"] = {**metrics["selected"]["test"], name: kept.accuracy}
    changes = {
        "cell": cell,
        "cell_id": cell.cell_id,
        "attempt": 1,
        "predictions": kept.file,
        "metrics": metrics,
    }
    whole = template.model_copy(update=changes).sealed()
    place = folder / "cells" / cell.cell_id
    place.mkdir(parents=True)
    (place / "attempt-1.json").write_text(whole.model_dump_json(indent=1))
    (place / "attempt-1.resampled.parquet").write_bytes(kept.resampled.read_bytes())
    os.link(kept.predictions, place / "attempt-1.parquet")


def report(folder: Path) -> dict[str, float]:
    """Return how long the verdicts of a store took, from the folder to Markdown."""
    start, cpu = time.perf_counter(), time.process_time()
    results = Results(folder)
    num_records = len(results.scan.records)
    read = time.perf_counter() - start
    table = results.table
    text = render_markdown(table)
    decided = sum(
        row.verdict.kind in ("success", "failure") for one in table.sections for row in one.rows
    )
    intervals = sum(
        row.population_interval is not None for one in table.sections for row in one.rows
    )
    return {
        "records": num_records,
        "rows with an interval": intervals,
        "rows decided": decided,
        "problems": len(results.problems),
        "characters": len(text),
        "scan, s": read,
        "all, s": time.perf_counter() - start,
        "all, s of one core": time.process_time() - cpu,
        "peak, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def floor(folder: Path) -> dict[str, float]:
    """Return what reading the bytes alone takes: of records and of resampled metrics."""
    start, cpu, count = time.perf_counter(), time.process_time(), 0
    for place in (folder / "cells").iterdir():
        for name in ("attempt-1.json", "attempt-1.resampled.parquet"):
            count += len((place / name).read_bytes())
    return {
        "floor, s": time.perf_counter() - start,
        "floor, s of one core": time.process_time() - cpu,
        "floor, MB": count / 1e6,
    }


@click.command()
@click.option("--cells", default=10_000, show_default=True, help="A multiple of 500.")
@click.option("--examples", default=10_000, show_default=True, help="Of the test split.")
@click.option("--distinct", default=100, show_default=True, help="Different predictions.")
@click.option("--measure", type=click.Path(path_type=Path, exists=True), help="This store, only.")
def main(cells: int, examples: int, distinct: int, measure: Path | None) -> None:
    """Write a large store, read it in a process of its own, and print figures as JSON."""
    if measure:
        print(json.dumps({**report(measure), **floor(measure)}, indent=1))
        return
    with tempfile.TemporaryDirectory(prefix="sftbench-scale-") as folder:
        store = Path(folder) / "store"
        write_store(store, cells, examples, distinct)
        command = [sys.executable, "-m", "benchmarks.scale", "--measure", str(store)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
