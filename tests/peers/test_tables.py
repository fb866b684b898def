from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import tables
from benchmarks.peers.items import FULL, Items
from benchmarks.peers.ratios import Spread, Total
from benchmarks.peers.rounds import Played
from benchmarks.peers.targets import TARGETS, rows
from benchmarks.peers.work import Outcome


@pytest.fixture
def played(tmp_path: Path) -> Played:
    (tmp_path / "images-1024").mkdir()
    item = Items(tmp_path, FULL, "cpu", "fp32").make("a")
    labels = [entry.label for entry in item.entries]
    rounds = [
        {label: Total(10_000.0 / (n + 1), 2048) for n, label in enumerate(labels)} for _ in range(3)
    ]
    done = Outcome(seconds=1, images=2048, steps=32, first_loss=2.31, final_loss=1.05)
    return Played(item, rounds, {label: [done] for label in labels})


def test_tables_fit_100_columns(played: Played) -> None:
    played.skipped["fastai"] = "No module named 'fastai'; " + "x" * 200
    found = {target.key: Spread(1234.5, 1000, 10_000) for target in TARGETS}
    reach = tables.target_table(rows(found, "cpu", quick=False))
    for text in (tables.title(played), tables.as_text(tables.item_table(played))):
        assert max(len(line) for line in text.splitlines()) <= 100
    lines = tables.as_text(reach).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].endswith("  reached")  # nothing is cut


def test_an_item_shows_rates_losses_and_the_ratio_of_sftbench(played: Played) -> None:
    lines = {line[0]: line for line in tables.item_table(played)}
    assert lines["article"][3:] == ["2.67 (2.67..2.67)", "2.31, 1.05", "32"]
    assert lines["sftbench"][3] == ""


def test_what_was_skipped_says_why(played: Played) -> None:
    played.skipped["fastai"] = "not installed"
    lines = {line[0]: line for line in tables.item_table(played)}
    assert lines["fastai"][1] == "skipped: not installed"


def test_the_rows_that_an_item_measures(played: Played) -> None:
    found = tables.measured(played)
    assert found.keys() == {"bare", "peers"}
    assert found["bare"] == Spread(8.0, 8.0, 8.0)
    assert found["peers"].median == pytest.approx(8 / 7)


def test_markdown_has_a_column_for_each_cell() -> None:
    text = tables.as_markdown([["a", "b"], ["1|2", "3"]])
    assert text.splitlines() == ["| a | b |", "|---|---|", "| 1/2 | 3 |"]
