"""The Parquet file of predictions: bits, bytes, and files that somebody else made."""

from __future__ import annotations

import io
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.records import make_outputs, make_predictions

from sftbench.contracts.task import Predictions
from sftbench.errors import RecordError
from sftbench.predictions import check_predictions, read_predictions, write_predictions


def written(outputs) -> tuple[bytes, int]:
    file = io.BytesIO()
    rows = write_predictions(file, outputs)
    return file.getvalue(), rows


def read(data: bytes, rows: int, *, finite: bool = True):
    return read_predictions(io.BytesIO(data), rows, finite=finite)


def same_bits(a: Predictions, b: Predictions) -> bool:
    return (
        np.array_equal(a.index, b.index)
        and np.array_equal(a.targets, b.targets)
        and a.outputs.dtype == b.outputs.dtype == np.float32
        and np.array_equal(a.outputs.view(np.uint32), b.outputs.view(np.uint32))
    )


def odd_predictions() -> Predictions:
    """Predictions whose bits are easily lost: signed zero, subnormal, largest, out of order."""
    outputs = np.array([[-0.0, 1e-45], [3.4028235e38, 0.1], [-1.5, 2.0]], dtype=np.float32)
    index = np.array([7, 2, 2**40], dtype=np.int64)
    return Predictions(index=index, targets=np.array([1, 0, 1], dtype=np.int64), outputs=outputs)


def test_round_trip_keeps_every_bit() -> None:
    outputs = {**make_outputs(classes=2), ("ood:fog", "selected"): odd_predictions()}
    data, rows = written(outputs)
    assert rows == 4 * 4 + 3
    found = read(data, rows)
    assert found.keys() == outputs.keys()
    assert all(same_bits(found[key], outputs[key]) for key in outputs)


def test_the_file_is_what_other_tools_expect() -> None:
    data, _ = written({("test", "selected"): odd_predictions()})
    table = pq.read_table(io.BytesIO(data))
    assert {field.name: str(field.type) for field in table.schema} == {
        "split": "dictionary<values=string, indices=int8, ordered=0>",
        "which": "dictionary<values=string, indices=int8, ordered=0>",
        "index": "int64",
        "target": "int64",
        "output": "fixed_size_list<element: float not null>[2]",
    }
    assert table.column("split").to_pylist() == ["test"] * 3
    assert table.column("which").to_pylist() == ["selected"] * 3
    assert table.column("index").to_pylist() == [7, 2, 2**40]
    assert table.column("target").to_pylist() == [1, 0, 1]
    assert table.column("output").to_pylist()[2] == [-1.5, 2.0]
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(4)
    assert column.compression == "ZSTD"


def test_the_same_predictions_make_the_same_bytes_in_any_order_of_keys() -> None:
    outputs = make_outputs()
    backwards = dict(reversed(outputs.items()))
    assert written(outputs)[0] == written(make_outputs())[0] == written(backwards)[0]


def test_one_object_under_two_keys_is_written_once() -> None:
    kept = make_predictions(rows=5)
    data, rows = written({("test", "last"): kept, ("test", "selected"): kept})
    assert rows == 5
    table = pq.read_table(io.BytesIO(data))
    assert set(table.column("which").to_pylist()) == {"selected"}
    meta = json.loads(table.schema.metadata[b"sftbench"])
    assert meta == {"same": [["test", "last", "test", "selected"]], "version": 1}
    found = read(data, 5)
    assert found.keys() == {("test", "selected"), ("test", "last")}
    assert found["test", "last"] is found["test", "selected"]
    assert same_bits(found["test", "last"], kept)


def test_equal_but_separate_predictions_stay_separate() -> None:
    data, rows = written({("test", which): make_predictions(5) for which in ("last", "selected")})
    assert rows == 10
    found = read(data, 10)
    assert found["test", "last"] is not found["test", "selected"]


def test_rows_in_steps_and_columns_are_kept_in_order() -> None:
    """Arrays need not be contiguous: a slice of a larger one is written as it reads."""
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    kept = make_predictions(4)
    sliced = Predictions(index=kept.index, targets=kept.targets, outputs=wide[:, ::2])
    found = read(*written({("test", "selected"): sliced}))
    assert found["test", "selected"].outputs.tolist()[1] == [6.0, 8.0, 10.0]


def test_what_is_read_cannot_be_changed_by_accident() -> None:
    found = read(*written({("test", "selected"): make_predictions()}))["test", "selected"]
    for array in (found.index, found.targets, found.outputs):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_non_finite_outputs_are_for_cells_that_failed() -> None:
    kept = make_predictions()
    kept.outputs[1, 1] = np.nan
    outputs = {("val", "last"): kept}
    reason = r"^predictions of val \(last\): an output is not finite$"
    with pytest.raises(RecordError, match=reason):
        check_predictions(outputs, finite=True)
    check_predictions(outputs, finite=False)
    data, rows = written(outputs)
    assert same_bits(read(data, rows, finite=False)["val", "last"], kept)
    with pytest.raises(RecordError, match=reason):
        read(data, rows)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outputs": np.zeros((4, 3))}, "outputs must be float32 [N, C], got float64 [4, 3]"),
        ({"outputs": np.zeros(4, np.float32)}, "outputs must be float32 [N, C], got float32 [4]"),
        (
            {"outputs": np.zeros((4, 0), np.float32)},
            "outputs must be float32 [N, C], got float32 [4, 0]",
        ),
        ({"index": np.zeros(4, np.int32)}, "index must be int64 [4], got int32 [4]"),
        ({"targets": np.zeros(3, np.int64)}, "targets must be int64 [4], got int64 [3]"),
        ({"index": np.array([0, 1, -1, 2])}, "an index is below 0"),
    ],
)
def test_arrays_of_another_form_are_refused(changes: dict[str, np.ndarray], reason: str) -> None:
    kept = make_predictions(4)
    fields = {"index": kept.index, "targets": kept.targets, "outputs": kept.outputs} | changes
    with pytest.raises(RecordError) as caught:
        check_predictions({("test", "selected"): Predictions(**fields)}, finite=True)
    assert str(caught.value) == f"predictions of test (selected): {reason}"


def test_widths_that_differ_are_refused() -> None:
    outputs = {
        ("test", "selected"): make_predictions(4, 3),
        ("val", "selected"): make_predictions(4, 2),
    }
    with pytest.raises(RecordError, match=r"outputs of different widths: \[2, 3\]"):
        check_predictions(outputs, finite=True)


@pytest.mark.parametrize("key", [("test", "best"), ("", "last"), ("x" * 201, "last")])
def test_keys_without_a_place_are_refused(key: tuple[str, str]) -> None:
    with pytest.raises(RecordError, match="have no place for split"):
        check_predictions({key: make_predictions()}, finite=True)


# ---- files that somebody else made -------------------------------------------------------------

NAME = pa.dictionary(pa.int8(), pa.string())
OUTPUT = pa.list_(pa.field("element", pa.float32(), nullable=False), 2)
META = b'{"same":[],"version":1}'


def forged(meta: bytes | None = META, groups: int = 1, **columns: pa.Array) -> bytes:
    """Return a file like ours with other columns, metadata or repeated row groups."""
    base = {
        "split": pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), pa.array(["test"])),
        "which": pa.DictionaryArray.from_arrays(
            pa.array([0, 0], pa.int8()), pa.array(["selected"])
        ),
        "index": pa.array([0, 1], pa.int64()),
        "target": pa.array([0, 1], pa.int64()),
        "output": pa.FixedSizeListArray.from_arrays(
            pa.array([0, 1, 2, 3], pa.float32()), type=OUTPUT
        ),
    }
    base |= columns
    fields = [
        pa.field(name, array.type, nullable=bool(array.null_count)) for name, array in base.items()
    ]
    schema = pa.schema(fields, metadata=None if meta is None else {b"sftbench": meta})
    table = pa.Table.from_arrays(list(base.values()), schema=schema)
    file = io.BytesIO()
    with pq.ParquetWriter(file, schema) as writer:
        for _ in range(groups):
            writer.write_table(table)
    return file.getvalue()


def names(*values: str) -> pa.DictionaryArray:
    return pa.array(values).dictionary_encode().cast(NAME)


def test_the_forger_can_make_a_good_file() -> None:
    assert read(forged(), 2)["test", "selected"].outputs.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not Parquet that can be read: "),
        (b"PAR1 not really PAR1", "is not Parquet that can be read: "),
        (forged(meta=None), "has no metadata of sftbench, or not in its form"),
        (forged(meta=b"[" * 100_000), "has no metadata of sftbench, or not in its form"),
        (forged(meta=b'{"same":[["a"]],"version":1}'), "has no metadata of sftbench"),
        (forged(meta=b'{"same":[],"version":2}'), "its layout 2 is not known to this version"),
        (
            forged(meta=b'{"same":[["val","last","val","selected"]],"version":1}'),
            "does not say what val (last) is",
        ),
        (
            forged(meta=b'{"same":[["test","selected","test","selected"]],"version":1}'),
            "does not say what test (selected) is",
        ),
        (
            forged(meta=b'{"same":[["test",[1],"test","selected"]],"version":1}'),
            "have no place for split 'test', [1]",
        ),
        (forged(index=pa.array([0, 1], pa.int32())), "has other columns than predictions have"),
        (forged(index=pa.array([0, None], pa.int64())), "has other columns than predictions have"),
        (forged(more=pa.array([0, 1])), "has other columns than predictions have"),
        (forged(output=pa.array([0.0, 1.0])), "has other columns than predictions have"),
        (
            forged(output=pa.array([[0.0], [1.0]], pa.list_(pa.float32()))),
            "has other columns than predictions have",
        ),
        (
            forged(
                output=pa.FixedSizeListArray.from_arrays(
                    pa.array([0.0, None, 1.0, 2.0], pa.float32()), 2
                )
            ),
            "has other columns than predictions have",
        ),
        (forged(split=names("test", "val")), "has a row group of more than one split"),
        (forged(which=names("best", "best")), "have no place for split 'test', 'best'"),
        (forged(index=pa.array([0, -1], pa.int64())), "an index is below 0"),
    ],
)
def test_a_forged_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(data, 2)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_rows_than_the_record_says_are_refused() -> None:
    with pytest.raises(RecordError, match=r"^has 2 rows, its record says 3$"):
        read(forged(), 3)


def test_a_split_that_comes_twice_is_refused() -> None:
    with pytest.raises(RecordError, match=r"^has test \(selected\) twice$"):
        read(forged(groups=2), 4)


def test_outputs_too_wide_for_memory_are_refused_before_they_are_read() -> None:
    schema = pa.schema(
        [
            pa.field("split", NAME, nullable=False),
            pa.field("which", NAME, nullable=False),
            pa.field("index", pa.int64(), nullable=False),
            pa.field("target", pa.int64(), nullable=False),
            pa.field(
                "output",
                pa.list_(pa.field("element", pa.float32(), nullable=False), 2**30),
                nullable=False,
            ),
        ],
        metadata={b"sftbench": META},
    )
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    with pytest.raises(RecordError, match="has other columns than predictions have"):
        read(file.getvalue(), 0)


def test_too_many_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered here, so that nobody needs 2 GiB to reach it."""
    data, rows = written({("test", "selected"): make_predictions(4, 3)})
    monkeypatch.setattr("sftbench.predictions.MAX_VALUES", 11)
    with pytest.raises(RecordError, match=r"^4 x 3 outputs are over the limit of 11 numbers$"):
        read(data, rows)
    monkeypatch.setattr("sftbench.predictions.MAX_VALUES", 12)
    assert len(read(data, rows)) == 1


def test_a_damaged_file_is_refused_or_read_and_never_anything_else() -> None:
    data, rows = written(make_outputs())
    rng = random.Random(0)
    refused = []
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 4))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        if rng.random() < 0.2:
            del broken[rng.randrange(len(broken)) :]
        try:
            found = read(bytes(broken), rows)
        except RecordError as error:
            refused.append(str(error))
        else:
            assert all(kept.outputs.shape[1] == 3 for kept in found.values())
    assert len(refused) > 50
    assert not any("\n" in reason for reason in refused)
