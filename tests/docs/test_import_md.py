"""docs/import.md does what it says."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sftbench import Results

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "import.md").read_text(encoding="utf-8")


def block(mark: str) -> str:
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, mark
    return found[1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what runs a block of the page in this test's folder."""
    monkeypatch.chdir(tmp_path)
    return lambda name: exec(compile(block(f"run: {name}"), name, "exec"), {})


def test_a_table_becomes_records(tmp_path: Path, run: Callable[[str], None]) -> None:
    (tmp_path / "table.csv").write_text(block("file: table.csv"))
    run("import_table.py")
    results = Results(tmp_path / "imported")
    full, head = sorted(results.rows(), key=lambda row: row["strategy"])
    assert (full["mean"], full["mean_over_completed"]) == (None, pytest.approx(0.8275))
    assert (full["ends_failed"], full["seeds_imported"], full["peak_bytes"]) == (1, 3, None)
    assert (head["verdict"], head["mean"], head["seconds_per_cell"]) == (
        "baseline",
        pytest.approx(0.78166667),
        pytest.approx(92 / 3),
    )
    text = " ".join(str(results).split())
    assert "imported results: settings are their source's (table.csv of A. Person, 2026)" in text
    assert (
        "full: imported: 3 of 3 seeds come from table.csv of A. Person, 2026 and were not run here"
        in text
    )
    assert "(seed 2: failed: Error: CUDA out of memory)" in text
    assert "&lt;" not in text
    assert results.query("SELECT DISTINCT imported_from FROM cells").to_pylist() == [
        {"imported_from": "table.csv of A. Person, 2026"}
    ]


def test_predictions_give_a_whole_verdict(tmp_path: Path, run: Callable[[str], None]) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 400)
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", "index", "target", "predicted"])
        for method, accuracy in (("head-only", 0.6), ("full", 0.8)):
            for seed in range(7):
                is_right = rng.random(400) < accuracy
                predicted = np.where(is_right, targets, (targets + 1) % 3)
                for index, (target, guess) in enumerate(zip(targets, predicted, strict=True)):
                    writer.writerow([method, seed, index, target, guess])
    run("import_predictions.py")
    full, head = Results(tmp_path / "imported").rows()
    assert (full["strategy"], full["verdict"], full["rank"]) == ("full", "success", 1)
    assert full["difference_low_population"] > 0.1
    assert full["mean_low_population"] is not None
    assert head["verdict"] == "baseline"
