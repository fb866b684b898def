"""Rows for programs: CSV, JSON, Arrow and Parquet. No number is rounded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftbench.report.selection import Shown

if TYPE_CHECKING:
    import pyarrow as pa

# A spreadsheet reads a text that begins so as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def render_csv(shown: Shown) -> str:
    """Return rows as CSV with a line of column names, which is there without rows too."""
    names = shown.columns or tuple(shown.types)
    return csv_lines(names, ([row[name] for name in names] for row in shown.rows()))


def csv_lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV that a spreadsheet shows and does not compute."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([no_formula(name) for name in names])
    writer.writerows([no_formula(value) for value in row] for row in rows)
    return text.getvalue()


def no_formula(value: Any) -> Any:
    """Return a text that a spreadsheet would compute with an apostrophe before it."""
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value


def render_json(shown: Shown) -> str:
    """Return rows as a JSON list of objects."""
    return inert_json(json.dumps(shown.rows(), indent=2, allow_nan=False)) + "\n"


def inert_json(text: str) -> str:
    """Escape the one control character that `json` leaves in its ASCII."""
    return text.replace("\x7f", "\\u007f")


def to_arrow(shown: Shown) -> pa.Table:
    """Return rows as an Arrow table, whose columns have their types without rows too."""
    names = shown.columns or tuple(shown.types)
    return arrow_table(shown.rows(), {name: shown.types[name] for name in names})


def arrow_table(rows: Sequence[Mapping[str, Any]], types: Mapping[str, type]) -> pa.Table:
    """Return dictionaries as an Arrow table of texts, whole and other numbers."""
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([pa.field(name, kinds[kind]) for name, kind in types.items()])
    columns = [
        pa.array([row[name] for row in rows], type=schema.field(name).type) for name in types
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def render_parquet(shown: Shown) -> bytes:
    """Return rows as the bytes of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(to_arrow(shown), sink)
    found: bytes = sink.getvalue().to_pybytes()
    return found
