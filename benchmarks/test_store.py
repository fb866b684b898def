"""The store: a record with its predictions written and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftbench.store import Store
from sftbench.testing import run_tiny


def test_write(benchmark: Any, tmp_path: Path) -> None:
    """One attempt, on the disk for good."""
    store, (record, kept) = Store(tmp_path / "store"), run_tiny()
    benchmark(store.write, record, kept)


@pytest.mark.parametrize("num_records", [100])
def test_scan(benchmark: Any, tmp_path: Path, num_records: int) -> None:
    """Reading a store, every record checked."""
    store, (record, kept) = Store(tmp_path / "store"), run_tiny()
    for seed in range(num_records):
        cell = record.cell.model_copy(update={"seed": seed})
        store.write(record.model_copy(update={"cell": cell, "cell_id": cell.cell_id}), kept)
    found = benchmark(store.scan)
    assert len(found.records) == num_records
