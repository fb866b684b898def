"""Answers to queries, batch by batch: for a terminal as a table, for programs CSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from sftbench.report.programs import csv_lines, inert_json

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_SHOWN = 1000
_NARROWEST = 6
_MOST_CHARACTERS = 200

Row = tuple[Any, ...]


def unique(names: Sequence[str]) -> list[str]:
    """Return names of columns of which no two are the same: `a`, `a_1`."""
    found: list[str] = []
    for name in names:
        number, other = 0, name
        while other in found:
            number += 1
            other = f"{name}_{number}"
        found.append(other)
    return found


def rows_of(reader: pa.RecordBatchReader) -> Iterator[Row]:
    """Yield rows; columns of one name stay apart."""
    for batch in reader:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def draw_answer(names: Sequence[str], rows: Iterable[Row], width: int) -> RenderableType:
    """Return a table of at most `width` columns; a line for each field where it is too wide."""
    rows = iter(rows)
    shown = [[told(value) for value in row] for row in islice(rows, _MOST_SHOWN)]
    is_number = [False] * len(names)
    heads = [inert(name) for name in names]
    least = sum(min(len(head), _NARROWEST) for head in heads) + 2 * len(heads)
    if least > width:
        drawn: RenderableType = _upright(heads, shown)
    else:
        drawn = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        is_number = [all(_is_number(row[i]) for row in shown) for i in range(len(heads))]
        for head, right in zip(heads, is_number, strict=True):
            drawn.add_column(Text(head), justify="right" if right else "left", overflow="fold")
        for row in shown:
            drawn.add_row(*(Text(text) for text in row))
    is_cut = next(rows, None) is not None
    more = f"the first {_MOST_SHOWN} rows; --format csv has all" if is_cut else ""
    count = more or f"{len(shown)} row{'' if len(shown) == 1 else 's'}"
    return Group(drawn, Text(f"({count})", style="dim"))


def answer_csv(names: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield CSV in pieces, the first with the names of the columns."""
    rows = iter(rows)
    yield csv_lines([inert(name) for name in names], [])
    while piece := list(islice(rows, _MOST_SHOWN)):
        text = csv_lines([], [[_csv_value(value) for value in row] for row in piece])
        yield text.partition("\n")[2]


def answer_json(names: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield a JSON list of objects in pieces."""
    start = "["
    for row in rows:
        values = {name: _plain(value) for name, value in zip(names, row, strict=True)}
        text = json.dumps(values, default=str, allow_nan=False)
        yield f"{start}\n  {inert_json(text)}"
        start = ","
    yield "[]\n" if start == "[" else "\n]\n"


def told(value: Any) -> str:
    """Return a value for people: numbers to six figures, texts without control characters."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = inert(_text(value))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


def inert(text: str) -> str:
    """Return text in which control characters are Python's escapes, so a terminal obeys none."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _upright(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    widest = max(map(len, heads))
    lines = [
        Text(f"{head:>{widest}}  {text}", overflow="fold")
        for row in rows
        for head, text in (*zip(heads, row, strict=True), ("", ""))
    ]
    return Group(*lines)


def _csv_value(value: Any) -> Any:
    if value is None or isinstance(value, int | float | Decimal):
        return value
    return inert(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, list | dict | tuple):
        return json.dumps(_plain(value), default=str, ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    """Return a value that JSON has: numbers that are not finite become null."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == "-"
    return True
