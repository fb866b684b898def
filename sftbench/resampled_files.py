"""The Parquet file of a record's resampled primary metric, beside its predictions.

One column `value` float64 [1 + R], and as the schema's metadata `sftbench` JSON that says what it
was made from: the SHA-256 of the predictions, the examples, and what the task says of its metric.
It can be made again from the predictions by anybody who has the task, so nothing rests on it alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sftbench.errors import RecordError
from sftbench.evaluation.resampling import NUM_RESAMPLES, SEED, Floats, Resampled
from sftbench.files import plain_file, validated, whole_file
from sftbench.names import one_line

_META = b"sftbench"
_MAX_BYTES = 1 << 20
_MAX_META = 1 << 16
_LARGEST = 1e100


class _Meta(BaseModel):
    """What the values were made from; a field that is not known here is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    version: Annotated[int, Field(ge=1, le=1)] = 1
    seed: Annotated[int, Field(ge=SEED, le=SEED)] = SEED
    predictions: str
    num_examples: int = Field(ge=1, le=2**53)
    examples: str = Field(pattern="^[0-9a-f]{16}$")
    tolerance: float = Field(ge=0, le=_LARGEST)
    reasons: list[Annotated[str, Field(max_length=100)]] = Field(max_length=100)


def write_resampled(path: Path, resampled: Resampled, predictions: str) -> None:
    """Write the file, whole or not at all.

    Args:
        path: Of the file.
        resampled: What to keep.
        predictions: SHA-256 of the predictions file that it was made from.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = _Meta(
        predictions=predictions,
        num_examples=resampled.num_examples,
        examples=resampled.examples,
        tolerance=resampled.tolerance,
        reasons=sorted(resampled.reasons),
    )
    schema = _schema().with_metadata({_META: meta.model_dump_json().encode()})
    values = pa.array(resampled.values, type=pa.float64())
    with whole_file(path) as file:
        pq.write_table(pa.Table.from_arrays([values], schema=schema), file, compression="zstd")


def read_resampled(path: Path, predictions: str) -> Resampled:
    """Return what a file holds that somebody else may have made.

    Args:
        path: Of the file.
        predictions: SHA-256 of the predictions that its record has.

    Raises:
        RecordError: It is not such a file, or was made from other predictions.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with plain_file(path, _MAX_BYTES) as file:
        try:
            with pq.ParquetFile(file) as source:
                meta = _checked(source)
                # `to_numpy` would import pandas first; one small column needs no threads.
                column = source.read(use_threads=False)["value"].combine_chunks()
                values: Floats = np.asarray(np.from_dlpack(column), dtype=np.float64)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise RecordError(f"is not Parquet that can be read: {one_line(str(error))}") from None
    if meta.predictions != predictions:
        raise RecordError("was made from other predictions")
    if np.abs(values[np.isfinite(values)]).max(initial=0.0) > _LARGEST or np.isinf(values).any():
        raise RecordError("holds a number that no metric has")
    return Resampled(
        values=values,
        num_examples=meta.num_examples,
        examples=meta.examples,
        tolerance=meta.tolerance,
        reasons=frozenset(meta.reasons),
    )


def _checked(source: Any) -> _Meta:
    """Check what a Parquet file says of itself, before its column is read."""
    schema, rows = source.schema_arrow, source.metadata.num_rows
    if not schema.equals(_schema()):
        raise RecordError("has other columns than resampled metrics have")
    if rows != 1 + NUM_RESAMPLES:
        raise RecordError(f"has {rows} values, not {1 + NUM_RESAMPLES}")
    meta = (schema.metadata or {}).get(_META, b"")
    if len(meta) > _MAX_META:
        raise RecordError("has too much metadata")
    return validated(_Meta, meta)


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([pa.field("value", pa.float64(), nullable=False)])
