"""Verdicts of 10,000 cells that were tested on 10,000 examples each.

`python -m benchmarks.scale` does the same in a process of its own, and prints memory and the floor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import floor, report, write_store

CELLS, EXAMPLES, DISTINCT = 10_000, 10_000, 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a large store."""
    folder = tmp_path_factory.mktemp("scale") / "store"
    write_store(folder, CELLS, EXAMPLES, DISTINCT)
    return folder


def test_verdicts(benchmark: Any, store: Path) -> None:
    """From the folder to the table: records, intervals, verdicts."""
    found = benchmark.pedantic(report, args=(store,), rounds=1)
    assert found["records"] == CELLS
    assert found["rows with an interval"] == CELLS / 10


def test_reading_the_bytes(benchmark: Any, store: Path) -> None:
    """The floor: every file that verdicts need, opened and read, and nothing done with it."""
    found = benchmark.pedantic(floor, args=(store,), rounds=1)
    assert found["floor, MB"] > 100
