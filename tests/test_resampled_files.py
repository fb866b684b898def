"""The file of resampled metrics: read as written, and not believed where it was tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.records import make_outputs, make_record

from sftbench.errors import RecordError
from sftbench.evaluation.resampling import Resampled
from sftbench.resampled_files import read_resampled, write_resampled
from sftbench.store import Store

SHA = "ab" * 32


def resampled() -> Resampled:
    values = np.random.default_rng(0).random(2001)
    values[7] = np.nan
    return Resampled(values, 50, "0123456789abcdef", 0.01, frozenset({"DIVERGED", "UNSTABLE"}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "attempt-1.resampled.parquet"
    write_resampled(file, resampled(), SHA)
    return file


def rewritten(path: Path, change: Callable[[dict[str, Any]], object], **columns: Any) -> None:
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"sftbench"])
    change(meta)
    fields = [pa.field(name, pa.array(values).type, nullable=False)
              for name, values in columns.items()] or list(table.schema)  # fmt: skip
    arrays = [pa.array(values) for values in columns.values()] or table.columns
    schema = pa.schema(fields).with_metadata({b"sftbench": json.dumps(meta).encode()})
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def test_what_is_written_is_read(path: Path) -> None:
    written, found = resampled(), read_resampled(path, SHA)
    np.testing.assert_array_equal(found.values, written.values)
    assert replace(found, values=written.values) == written
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "version: Input should be less than or equal to 1"),
        ("seed", 1, "seed: Input should be less than or equal to 0"),
        ("examples", "../..", "examples: String should match pattern '^[0-9a-f]{16}$'"),
        ("num_examples", 0, "num_examples: Input should be greater than or equal to 1"),
        ("tolerance", -1.0, "tolerance: Input should be greater than or equal to 0"),
        ("reasons", ["x"] * 101, "reasons: List should have at most 100 items"),
        ("more", 1, "more: Extra inputs are not permitted"),
    ],
)
def test_metadata_is_checked(path: Path, key: str, value: object, message: str) -> None:
    rewritten(path, lambda meta: meta.update({key: value}))
    with pytest.raises(RecordError) as caught:
        read_resampled(path, SHA)
    assert str(caught.value).startswith(message)


def test_values_of_other_predictions_are_not_taken(path: Path) -> None:
    with pytest.raises(RecordError, match=r"^was made from other predictions$"):
        read_resampled(path, "cd" * 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(2000), "has 2000 values, not 2001"),
        (np.ones(2001, dtype=np.float32), "has other columns than resampled metrics have"),
        (np.full(2001, np.inf), "holds a number that no metric has"),
        (np.full(2001, 1e101), "holds a number that no metric has"),
    ],
)
def test_values_are_checked(path: Path, values: np.ndarray, message: str) -> None:
    rewritten(path, lambda _: None, value=values)
    with pytest.raises(RecordError, match=f"^{message}$"):
        read_resampled(path, SHA)


def test_what_is_no_parquet_is_refused(path: Path) -> None:
    path.write_bytes(b"PAR1" * 10)
    with pytest.raises(RecordError, match=r"^is not Parquet that can be read: "):
        read_resampled(path, SHA)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(RecordError, match="is a symbolic link"):
        read_resampled(path, SHA)


def test_a_store_keeps_it_beside_the_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    record = store.write(make_record(), make_outputs(), resampled())
    folder = store.path / "cells" / record.cell_id
    names = ["attempt-1.json", "attempt-1.parquet", "attempt-1.resampled.parquet"]
    assert sorted(path.name for path in folder.iterdir()) == names
    scan = store.scan()
    assert (scan.problems, dict(scan.attempts)) == ((), {record.cell_id: 1})
    found = store.resampled(record)
    assert found is not None
    np.testing.assert_array_equal(found.values, resampled().values)


def test_a_store_may_lack_it_and_get_it_later(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    record = store.write(make_record(), make_outputs())
    assert store.resampled(record) is None
    store.add_resampled(record, resampled())
    assert store.resampled(record) is not None
    store.add_resampled(record, replace(resampled(), num_examples=51))  # what stands there stays
    again = store.resampled(record)
    assert again is not None
    assert again.num_examples == 50


def test_a_store_names_the_file_that_is_not_its_record_s(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    first = store.write(make_record(), make_outputs(), resampled())
    second = store.write(make_record(), make_outputs(rows=9))
    folder = store.path / "cells" / first.cell_id
    (folder / "attempt-2.resampled.parquet").write_bytes(
        (folder / "attempt-1.resampled.parquet").read_bytes()
    )
    with pytest.raises(
        RecordError, match=r"attempt-2\.resampled\.parquet: was made from other predictions$"
    ):
        store.resampled(second)
