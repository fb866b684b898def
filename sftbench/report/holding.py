"""What a format can hold of an answer, and how texts hold what is neither a number nor a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sftbench.errors import RequestError
from sftbench.names import one_line
from sftbench.report.answers import Row, rows_of

if TYPE_CHECKING:
    import pyarrow as pa


def text_rows(reader: pa.RecordBatchReader, names: Sequence[str]) -> Iterator[Row]:
    """Return rows as texts hold them: whole numbers with every digit, bytes as hexadecimal.

    Args:
        reader: Of the answer.
        names: Its columns, for messages.

    Raises:
        RequestError: Python has no value for what a column holds; dates are looked at on the way.
    """
    import pyarrow as pa

    for name, field in zip(names, reader.schema, strict=True):
        if isinstance(field.type, pa.BaseExtensionType):
            raise _unheld("a text", name, getattr(field.type, "type_name", str(field.type)))
    return _rows(reader, names)


def _rows(reader: pa.RecordBatchReader, names: Sequence[str]) -> Iterator[Row]:
    is_other = [_has_other(field.type) for field in reader.schema]
    for batch in reader:
        try:
            rows = list(rows_of([batch]))
        except (OverflowError, ValueError):
            raise _beyond(batch, names) from None
        for row in rows:
            pairs = zip(row, is_other, strict=True)
            yield tuple(_plain(value) if other else value for value, other in pairs)


def check_parquet(schema: pa.Schema) -> None:
    """Check that Parquet has the type of every column.

    Raises:
        RequestError: It has not; the line names the column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except pa.ArrowException:
            raise _unheld("Parquet", field.name, str(field.type)) from None


def _has_other(kind: pa.DataType) -> bool:
    """Tell whether values of a type, or values within them, are decimals or bytes."""
    import pyarrow as pa

    types = pa.types
    if types.is_decimal(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return True
    return any(_has_other(kind.field(number).type) for number in range(kind.num_fields))


def _plain(value: Any) -> Any:
    """Return decimals without a point, as which HUGEINT comes, as int, and bytes as text."""
    match value:
        case Decimal():
            return value if value.as_tuple().exponent else int(value)
        case bytes():
            return value.hex()
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def _beyond(batch: pa.RecordBatch, names: Sequence[str]) -> RequestError:
    """Return the mistake of a date or time that Python has not, as infinity."""
    for name, column in zip(names, batch.columns, strict=True):
        try:
            column.to_pylist()
        except (OverflowError, ValueError):
            return _unheld("a text", name, f"beyond the years 1 to 9999 in {column.type}")
    raise AssertionError("every column can be read")


def _unheld(form: str, name: str, what: str) -> RequestError:
    return RequestError(
        f"query: {form} cannot hold column {one_line(name, 80)}: {one_line(what, 80)}; "
        "give it as text: CAST(... AS VARCHAR)"
    )
