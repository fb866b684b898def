"""`sftbench query`: SQL over the records of a store."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pyarrow as pa

# No name of an option has white space in it.
_COMMENT = re.compile(r"--[^\s=]*\s")


class _Query(click.Command):
    """A command whose query may begin with a comment, which click would take for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words after the command's name."""
        words = [f" {word}" if _COMMENT.match(word) else word for word in args]
        return super().parse_args(ctx, words)


@click.command(cls=_Query)
@click.argument("results", type=click.Path(path_type=Path), metavar="RESULTS")
@click.argument("sql", required=False, metavar="[SELECT]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
def query(results: Path, sql: str | None, form: str, output: Path | None) -> int:
    """Print what a SELECT finds in RESULTS; without one, the views that it may name.

    DuckDB reads the views in memory: groups, cells, metrics, history, per_class, predictions. A
    query reaches no file and no network. docs/formats.md has examples.
    """
    from sftbench.cli.tables import draw, warn
    from sftbench.errors import RequestError
    from sftbench.query import select
    from sftbench.report.answers import draw_answer, unique
    from sftbench.report.holding import text_rows
    from sftbench.results import Results

    found = Results(results)
    found.check()
    if sql is None:
        _print_views()
        return 0
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise RequestError("parquet is not text for a terminal; add --output FILE")
    with select(found, sql) as reader:
        names = unique(reader.schema.names)
        if output is None and form == "table":
            draw(partial(draw_answer, names, text_rows(reader, names)))
        elif output is None:
            _write(reader, form, partial(click.echo, nl=False))
        else:
            _write_file(reader, form, output)
    warn(found)
    return 0


def _write_file(reader: pa.RecordBatchReader, form: str, output: Path) -> None:
    """Write an answer to a file, which stands there when it is whole."""
    from sftbench.errors import RequestError
    from sftbench.files import whole_file

    try:
        with whole_file(output) as file:
            _write(reader, form, file.write)
    except OSError as error:
        raise RequestError(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"wrote {output}", err=True)


def _write(reader: pa.RecordBatchReader, form: str, take: Callable[[bytes], object]) -> None:
    """Give an answer away as it comes, without holding all of it but for Parquet."""
    from sftbench.cli.tables import WIDTH
    from sftbench.report.answers import answer_csv, answer_json, draw_answer, unique
    from sftbench.report.holding import text_rows
    from sftbench.report.terminal import without_colour

    names = unique(reader.schema.names)
    if form == "parquet":
        take(_parquet(reader, names))
        return
    rows = text_rows(reader, names)
    if form == "table":
        pieces = iter([without_colour(draw_answer(names, rows, WIDTH), WIDTH)])
    else:
        pieces = answer_csv(names, rows) if form == "csv" else answer_json(names, rows)
    for piece in pieces:
        take(piece.encode())


def _parquet(reader: pa.RecordBatchReader, names: list[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sftbench.report.holding import check_parquet

    fields = zip(names, reader.schema, strict=True)
    sink = pa.BufferOutputStream()
    schema = pa.schema([field.with_name(name) for name, field in fields])
    check_parquet(schema)
    with pq.ParquetWriter(sink, schema) as writer:
        for batch in reader:
            writer.write_batch(batch.rename_columns(names))
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _print_views() -> None:
    """Print each view, what a row of it is, and its columns."""
    from sftbench.query import VIEWS, columns

    found: dict[str, list[str]] = {}
    for view, name, kind in columns():
        found.setdefault(view, []).append(f"{name} {kind}")
    for view, names in found.items():
        click.echo(f"{view}: {VIEWS[view]}")
        click.echo(
            textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ")
        )
