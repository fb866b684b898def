"""The report of 10,000 records: 20 data sets x 50 strategies x 10 seeds, with predictions."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sftbench.api import Cell, Plan, Predictions, Record
from sftbench.predictions import write_predictions
from sftbench.report.markdown import render_markdown
from sftbench.results import Results
from sftbench.store import Store
from sftbench.testing import run_tiny

_DATASETS, _STRATEGIES, _SEEDS = 20, 50, 10
_BASELINE = "strategy-0"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files as the store has them, but without waiting for the disk at each."""
    folder = tmp_path_factory.mktemp("store")
    cells: list[Cell] = []
    record, kept = run_tiny()
    assert kept is not None
    generator = np.random.default_rng(0)
    for seed in range(_SEEDS):
        noisy = {key: replace(one, outputs=_shaken(one, generator)) for key, one in kept.items()}
        table = folder / "predictions.parquet"
        with table.open("wb") as file:
            rows = write_predictions(file, noisy)
        content = table.read_bytes()
        table.unlink()
        for dataset, strategy in itertools.product(range(_DATASETS), range(_STRATEGIES)):
            names = (f"set-{dataset}", f"strategy-{strategy}", seed)
            cells.append(_write(folder, record, (content, rows), names))
    Store(folder).add_plan(Plan(cells=tuple(cells), skipped=(), baseline=_BASELINE, criteria={}))
    return folder


def _shaken(kept: Predictions, generator: np.random.Generator) -> Any:
    noise = generator.standard_normal(kept.outputs.shape)
    return (kept.outputs + noise).astype(np.float32)


def _write(
    folder: Path, record: Record, table: tuple[bytes, int], names: tuple[str, str, int]
) -> Cell:
    (content, num_rows), (dataset, strategy, seed) = table, names
    changes = {"dataset": dataset, "strategy": strategy, "seed": seed}
    cell = record.cell.model_copy(update=changes)
    digest = hashlib.sha256(content).hexdigest()
    rows = {"file": "attempt-1.parquet", "sha256": digest, "rows": num_rows}
    whole = record.model_copy(update={"cell": cell, "cell_id": cell.cell_id})
    whole = Record.model_validate({**whole.model_dump(), "predictions": rows}).sealed()
    place = folder / "cells" / cell.cell_id
    place.mkdir(parents=True)
    (place / "attempt-1.parquet").write_bytes(content)
    (place / "attempt-1.json").write_text(whole.model_dump_json())
    return cell


def test_read(benchmark: Any, store: Path) -> None:
    """Reading and checking the records."""
    found = benchmark.pedantic(lambda: Results(store).scan, rounds=1)
    assert len(found.records) == _DATASETS * _STRATEGIES * _SEEDS


def test_report(benchmark: Any, store: Path) -> None:
    """From the folder to Markdown: records, statistics, verdicts, table."""
    text = benchmark.pedantic(lambda: render_markdown(Results(store).table), rounds=1)
    assert "set-19" in text
