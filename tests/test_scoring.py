"""What stands beside records serves where their task is not installed, and nothing else changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sftbench.discovery import build_catalog
from sftbench.results import Results
from sftbench.scoring import StoreScoring

RESULTS = Path(__file__).parent.parent / "results"
PACKAGES = {
    "detection-cpu": "sftbench-detection",
    "segmentation-cpu": "sftbench-segmentation",
    "text-cpu": "sftbench-text",
}


def without_packages(path: Path) -> Results:
    return Results(path, catalog=build_catalog(chosen="builtin"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_task_s_package_changes_nothing_in_its_table(name: str) -> None:
    pytest.importorskip(PACKAGES[name].replace("-", "_"))
    results = Results(RESULTS / name)
    assert without_packages(RESULTS / name).rows() == results.rows()
    kinds = {row["verdict"] for row in results.rows()}
    assert "baseline" in kinds
    assert all(row["mean_low_population"] is not None for row in results.rows())


def test_success_and_failure_are_told_without_the_package() -> None:
    rows = without_packages(RESULTS / "segmentation-cpu").rows()
    assert {row["strategy"]: row["verdict"] for row in rows}["scratch"] == "failure"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A store from before resampled metrics were kept."""
    folder = tmp_path / "store"
    shutil.copytree(RESULTS / "segmentation-cpu", folder)
    for path in folder.rglob("*.resampled.parquet"):
        path.unlink()
    return folder


def test_an_older_store_needs_the_package_and_then_has_the_same_table(older: Path) -> None:
    pytest.importorskip("sftbench_segmentation")
    assert Results(older).rows() == Results(RESULTS / "segmentation-cpu").rows()
    rows = without_packages(older).rows()
    assert {row["verdict"] for row in rows} == {"baseline", "inconclusive"}
    assert {row["missing"] for row in rows} == {"", "the plugin of task segmentation"}


def test_a_file_that_was_tampered_with_is_made_again(older: Path) -> None:
    pytest.importorskip("sftbench_segmentation")
    kept = Results(RESULTS / "segmentation-cpu")
    first, second = kept.records[:2]
    source = kept.store.path / "cells" / first.cell_id / "attempt-1.resampled.parquet"
    target = older / "cells" / second.cell_id / "attempt-1.resampled.parquet"
    shutil.copy(source, target)
    results = Results(older)
    found = StoreScoring(results.store, build_catalog()).resampled_of(second)
    expected = kept.store.resampled(second)
    assert found is not None
    assert expected is not None
    assert found.values == pytest.approx(expected.values, rel=1e-9)
