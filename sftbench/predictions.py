"""The Parquet file of a cell's predictions: same numbers, same bytes; read with distrust.

One row group for each split and which (`selected`, `last`), with the columns `split`, `which`,
`index`, `target` and `output`. What is the same for two keys is written once: the schema's
metadata `sftbench` is JSON, `{"same": [["test", "last", "test", "selected"]], "version": 1}`,
and says that the first pair's predictions are the second's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from sftbench.contracts.task import Predictions
from sftbench.errors import RecordError
from sftbench.names import one_line, shown

Key = tuple[str, str]

MAX_BYTES = 2 << 30
MAX_VALUES = 1 << 29  # 2 GiB of float32
_MAX_GROUPS = 1000
_MAX_SPLIT = 200
_META = b"sftbench"
_VERSION = 1
_WHICH = ("selected", "last")


def write_predictions(file: BinaryIO, outputs: Mapping[Key, Predictions]) -> int:
    """Write the predictions of a cell that `check_predictions` accepts.

    Args:
        file: Open for writing.
        outputs: By (split, which). Keys that hold the very same object share its rows.

    Returns:
        Rows written.
    """
    import pyarrow as pa  # listing and planning do not wait for it
    import pyarrow.parquet as pq

    groups, same = _shared(outputs)
    width = next(iter(groups.values())).outputs.shape[1]
    meta = json.dumps({"same": same, "version": _VERSION}, separators=(",", ":"))
    schema = _schema(width).with_metadata({_META: meta.encode()})
    # The two names repeat; logits do not, and a dictionary of them would only cost time.
    writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=["split", "which"])
    with writer:
        for (split, which), kept in groups.items():
            rows = len(kept.index)
            once = pa.array(np.zeros(rows, dtype=np.int8))
            values = pa.array(np.ascontiguousarray(kept.outputs).reshape(-1))
            columns = [
                pa.DictionaryArray.from_arrays(once, pa.array([split])),
                pa.DictionaryArray.from_arrays(once, pa.array([which])),
                pa.array(kept.index),
                pa.array(kept.targets),
                pa.FixedSizeListArray.from_arrays(values, type=schema.field("output").type),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=rows)
    return sum(len(kept.index) for kept in groups.values())


def check_predictions(outputs: Mapping[Key, Predictions], *, finite: bool) -> None:
    """Check that predictions can be kept.

    Args:
        outputs: By (split, which).
        finite: Whether every output must be a finite number.

    Raises:
        RecordError: A name, a shape or a dtype is not as `Predictions` says, or they are too many.
    """
    for key, kept in outputs.items():
        _check_key(key)
        if reason := _mismatch(kept):
            raise RecordError(f"predictions of {_title(key)}: {reason}")
        if finite and not np.isfinite(kept.outputs).all():
            raise RecordError(f"predictions of {_title(key)}: an output is not finite")
    groups = {id(kept): kept for kept in outputs.values()}.values()
    widths = sorted({kept.outputs.shape[1] for kept in groups})
    if len(widths) > 1:
        raise RecordError(f"predictions have outputs of different widths: {widths}")
    _check_size(sum(len(kept.index) for kept in groups), widths[0] if widths else 1)


def read_predictions(
    file: BinaryIO, rows: int, *, finite: bool, most_values: int = MAX_VALUES
) -> dict[Key, Predictions]:
    """Return the predictions of a file that somebody else may have made.

    Args:
        file: Open for reading.
        rows: How many its record says it has.
        finite: Whether every output must be a finite number.
        most_values: Outputs times rows that are accepted.

    Returns:
        By (split, which); the arrays are read-only.

    Raises:
        RecordError: It is not a file that `write_predictions` makes, or not of that many rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as source:
            same = _check_layout(source, rows, most_values)
            found: dict[Key, Predictions] = {}
            for number in range(source.num_row_groups):
                key, kept = _group(source.read_row_group(number))
                if key in found:
                    raise RecordError(f"has {_title(key)} twice")
                found[key] = kept
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise RecordError(f"is not Parquet that can be read: {one_line(str(error))}") from None
    for copy, original in same:
        if copy in found or original not in found:
            raise RecordError(f"does not say what {_title(copy)} is")
        found[copy] = found[original]
    check_predictions(found, finite=finite)
    return found


def _schema(width: int) -> Any:
    """Return the columns of outputs of `width` numbers."""
    import pyarrow as pa

    name = pa.dictionary(pa.int8(), pa.string())
    output = pa.list_(pa.field("element", pa.float32(), nullable=False), width)
    types = {"split": name, "which": name, "index": pa.int64(), "target": pa.int64()}
    fields = [pa.field(column, kind, nullable=False) for column, kind in types.items()]
    return pa.schema([*fields, pa.field("output", output, nullable=False)])


def _shared(outputs: Mapping[Key, Predictions]) -> tuple[dict[Key, Predictions], list[list[str]]]:
    """Return what is written, in order, and which keys are the same as which."""
    groups: dict[Key, Predictions] = {}
    owners: dict[int, Key] = {}
    same = []
    for key in sorted(outputs, key=lambda key: (key[0], _WHICH.index(key[1]))):
        owner = owners.setdefault(id(outputs[key]), key)
        if owner == key:
            groups[key] = outputs[key]
        else:
            same.append([*key, *owner])
    return groups, same


def _check_layout(source: Any, rows: int, most_values: int) -> list[tuple[Key, Key]]:
    """Check what a Parquet file says of itself, before its columns are read.

    Returns:
        Pairs of a key and the key that has its rows.
    """
    schema, metadata = source.schema_arrow, source.metadata
    if metadata.num_rows != rows:
        raise RecordError(f"has {metadata.num_rows} rows, its record says {rows}")
    if metadata.num_row_groups > _MAX_GROUPS:
        raise RecordError(f"has {metadata.num_row_groups} row groups")
    width = getattr(schema.field("output").type, "list_size", 0) if "output" in schema.names else 0
    if not 0 < width <= MAX_VALUES or not schema.equals(_schema(width)):
        listed = ", ".join(f"{field.name} {field.type}" for field in schema)
        raise RecordError(f"has other columns than predictions have: {one_line(listed)}")
    _check_size(rows, width, most_values)
    return _same((schema.metadata or {}).get(_META, b""))


def _same(meta: bytes) -> list[tuple[Key, Key]]:
    """Return which keys share rows, from the schema's metadata."""
    try:
        said = json.loads(meta)
        version = said["version"]
        pairs = [((a, b), (c, d)) for a, b, c, d in said["same"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecordError("has no metadata of sftbench, or not in its form") from None
    if type(version) is not int or version != _VERSION:
        raise RecordError(f"its layout {shown(version)} is not known to this version of sftbench")
    for copy, original in pairs:
        _check_key(copy)
        _check_key(original)
    return pairs


def _group(table: Any) -> tuple[Key, Predictions]:
    """Return the predictions of one row group, and whose they are."""
    names = [table[column].unique().to_pylist() for column in ("split", "which")]
    if any(len(found) != 1 for found in names):
        raise RecordError("has a row group of more than one split")
    if any(column.null_count for column in table.columns):
        raise RecordError("has empty fields")
    output = table["output"].combine_chunks()
    values = output.flatten().to_numpy(zero_copy_only=False)
    kept = Predictions(
        index=table["index"].to_numpy(),
        targets=table["target"].to_numpy(),
        outputs=values.reshape(len(output), -1),
    )
    for array in (kept.index, kept.targets, kept.outputs):
        array.setflags(write=False)
    return (names[0][0], names[1][0]), kept


def _mismatch(kept: Predictions) -> str | None:
    """Return how arrays differ from what `Predictions` says, or None."""
    outputs, rows = kept.outputs, len(kept.index)
    if outputs.dtype != np.float32 or outputs.ndim != 2 or not outputs.size:
        return f"outputs must be float32 [N, C], got {outputs.dtype} {list(outputs.shape)}"
    for name, array in (("index", kept.index), ("targets", kept.targets)):
        if array.dtype != np.int64 or array.shape != (len(outputs),):
            return f"{name} must be int64 [{len(outputs)}], got {array.dtype} {list(array.shape)}"
    return "an index is below 0" if rows and kept.index.min() < 0 else None


def _check_key(key: Key) -> None:
    split, which = key
    if not isinstance(split, str) or not 0 < len(split) <= _MAX_SPLIT or which not in _WHICH:
        raise RecordError(f"predictions have no place for split {shown(split)}, {shown(which)}")


def _check_size(rows: int, width: int, most_values: int = MAX_VALUES) -> None:
    limit = min(most_values, MAX_VALUES)
    if rows * width > limit:
        raise RecordError(f"{rows} x {width} outputs are over the limit of {limit} numbers")


def _title(key: Key) -> str:
    return one_line(f"{key[0]} ({key[1]})")
