"""The results of texts that are kept in the repository are whole, and the table is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sftbench.api import Record
from sftbench.catalog import Catalog
from sftbench.report.markdown import render_markdown
from sftbench.results import Results

FOLDER = Path(__file__).parents[3] / "results" / "text-cpu"


@pytest.fixture
def results(catalog: Catalog) -> Results:
    if not FOLDER.is_dir():
        pytest.skip("results/text-cpu is not here: the package stands without its repository")
    return Results(FOLDER, catalog=catalog)


def chosen(results: Results, protocol: str, dataset: str, strategy: str) -> Sequence[Record]:
    return [
        one
        for one in results.records
        if (one.cell.protocol.name, one.cell.dataset, one.cell.strategy)
        == (protocol, dataset, strategy)
    ]


def test_every_record_is_valid_and_ended_well(results: Results) -> None:
    assert results.problems == ()
    assert {record.status for record in results.records} == {"ok"}
    assert {record.cell.task for record in results.records} == {"text-classification"}
    assert all(results.store.predictions(record) for record in results.records)


def test_the_markdown_beside_the_records_is_made_from_them(results: Results) -> None:
    kept = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert kept == render_markdown(results.table).rstrip("\n") + "\n"
    assert "128 tokens" in kept
    assert "1000 training texts" in kept


def test_a_head_on_a_thousand_texts_beats_the_nearest_neighbours(results: Results) -> None:
    found = chosen(results, "newsgroups-heads", "20newsgroups", "head-only")
    accuracies = [value for one in found if (value := one.value("accuracy")) is not None]
    assert len(accuracies) == 7
    assert min(accuracies) > 0.68


@pytest.mark.parametrize("dataset", ["reuters-r8", "20newsgroups"])
def test_pretraining_is_what_makes_the_difference(results: Results, dataset: str) -> None:
    rows = {
        row["strategy"]: row
        for row in results.rows()
        if row["dataset"] == dataset and row["protocol"] == "text-48"
    }
    assert rows["scratch"]["verdict"] == "failure"
    assert set(rows) == {"head-only", "logistic-probe:0.316", "full", "scratch"}
    assert all(len(chosen(results, "text-48", dataset, name)) == 7 for name in rows)
