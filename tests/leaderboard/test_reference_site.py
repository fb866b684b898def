"""The leaderboard kept in this repository is that of the results beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftbench.leaderboard.reading import collect
from sftbench.leaderboard.site_data import ranked, rows, topics

RESULTS = Path(__file__).parents[2] / "results"
SITE = RESULTS / "leaderboard"


def test_its_rows_are_those_of_the_records() -> None:
    every = ranked(collect(sorted(RESULTS.glob("*-cpu"))))
    pages = topics(every)
    kept = sorted(str(path.relative_to(SITE))[:-5] for path in SITE.rglob("*.html"))
    assert kept == sorted(topic.path for topic in pages), "stale: just leaderboard"
    for topic in pages:
        document = json.loads((SITE / f"{topic.path}.json").read_text(encoding="utf-8"))
        expected = rows(topic)
        assert len(document["rows"]) == len(expected)
        for kept_row, row in zip(document["rows"], expected, strict=True):
            assert kept_row == pytest.approx(row), "stale: just leaderboard"


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < 3_000_000
