"""The records in results/segmentation-cpu are whole, and say what the pages say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftbench.catalog import Catalog
from sftbench.report.markdown import render_markdown
from sftbench.results import Results

FOLDER = Path(__file__).resolve().parents[3] / "results" / "segmentation-cpu"


@pytest.fixture(scope="module")
def results(catalog: Catalog) -> Results:
    return Results(FOLDER, catalog=catalog)


def test_every_record_is_valid_and_ended_well(results: Results) -> None:
    assert results.problems == ()
    assert len(results.records) == 3 * 7
    assert {record.status for record in results.records} == {"ok"}
    assert all(results.store.predictions(record) for record in results.records)


def test_the_table_beside_them_is_theirs(results: Results) -> None:
    kept = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert kept == render_markdown(results.table).rstrip("\n") + "\n"


def test_pretrained_weights_beat_random_ones(results: Results) -> None:
    rows = {row["strategy"]: row for row in results.rows()}
    assert rows["scratch"]["verdict"] == "failure"
    assert rows["full"]["mean"] > 1.5 * rows["scratch"]["mean"]
