"""The results kept in this repository are whole, and the table beside them is theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftbench.report.markdown import render_markdown
from sftbench.results import Results

REFERENCE = Path(__file__).parent.parent / "results" / "reference-cpu"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(REFERENCE)


def test_every_record_is_valid_and_ended_well(results: Results) -> None:
    assert results.problems == ()
    assert len(results.records) == 56 + 9
    assert {record.status for record in results.records} == {"ok"}
    assert all(results.store.predictions(record) for record in results.records)


def test_the_markdown_beside_the_records_is_made_from_them(results: Results) -> None:
    kept = (REFERENCE / "README.md").read_text(encoding="utf-8")
    assert kept == render_markdown(results.table).rstrip("\n") + "\n"


def test_full_wins_on_balanced_data_and_collapses_on_the_tail(results: Results) -> None:
    rows = {
        (row["variant"], row["strategy"]): row
        for row in results.rows()
        if row["dataset"] == "fashion-mnist-mini"
    }
    assert rows["balanced", "full"]["verdict"] == "success"
    assert rows["longtail:50", "full"]["verdict"] == "failure"
    assert "MINORITY_COLLAPSE" in rows["longtail:50", "full"]["reasons"]


@pytest.mark.parametrize(
    ("strategy", "independent"), [("full", 0.818), ("head-only", 0.773), ("scratch", 0.384)]
)
def test_cifar10_stands_within_four_points_of_an_independent_measurement(
    results: Results, strategy: str, independent: float
) -> None:
    values = [
        record.value("accuracy")
        for record in results.records
        if record.cell.dataset == "cifar10" and record.cell.strategy == strategy
    ]
    assert len(values) == 3
    assert sum(values) / 3 == pytest.approx(independent, abs=0.04)
