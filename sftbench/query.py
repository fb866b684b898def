"""SQL over a store: DuckDB reads Arrow tables in memory, and can reach no file and no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sftbench import relations
from sftbench.errors import RequestError
from sftbench.names import one_line
from sftbench.report.flat import GROUP_COLUMNS
from sftbench.report.programs import arrow_table
from sftbench.store import Store, StoreScan

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from sftbench.results import Results

Found = TypeVar("Found")

_MEMORY = "2GB"
_MOST_CHARACTERS = 100_000
_BATCH = 10_000
_SECONDS_BETWEEN = 0.2
# Statements and tables of DuckDB that tell which views there are.
_LISTING = re.compile(r"\b(show|describe|information_schema|duckdb_\w+)\b", re.IGNORECASE)
# Nothing of the machine can be reached, and no statement can change that.
_LOCKED: Mapping[str, str] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    "temp_directory": "",
    "memory_limit": _MEMORY,
}

VIEWS: Mapping[str, str] = {
    "groups": "a row for each row of the report: means, intervals, p-values, verdicts, reasons",
    **relations.ABOUT,
}
"""The views that a query may name, and what a row of each is."""


@contextmanager
def select(results: Results, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Give the rows that a SELECT finds, batch by batch.

    Args:
        results: Of a store; only views that the text names are read from it.
        sql: One SELECT (also `FROM ...`, `DESCRIBE ...`, `SUMMARIZE ...`, `SHOW TABLES`).

    Raises:
        RequestError: It is another statement, or DuckDB refuses it.
    """
    import duckdb

    if len(sql) > _MOST_CHARACTERS:
        raise RequestError(f"the query has {len(sql)} characters; the most is {_MOST_CHARACTERS}")
    connection = duckdb.connect(":memory:", config=dict(_LOCKED))
    try:
        with _mistakes(duckdb):
            _check(connection, sql)
            for name in named(sql):
                connection.register(name, view(results, name))
            for name in _listed(sql):
                connection.register(name, _empty(name))
            connection.execute("SET lock_configuration = true")
            found = partial(_waited, connection)
            reader = found(lambda: connection.sql(sql).to_arrow_reader(_BATCH))
        with _mistakes(duckdb):
            yield _batches(reader, found)
    finally:
        connection.close()


def query_table(results: Results, sql: str) -> pa.Table:
    """Return all rows that a SELECT finds.

    Raises:
        RequestError: As `select`.
    """
    with select(results, sql) as reader:
        return reader.read_all()


def named(sql: str) -> list[str]:
    """Return the views whose name stands in a query; what is not named is not read."""
    return [name for name in VIEWS if re.search(rf"\b{name}\b", sql, re.IGNORECASE)]


def view(results: Results, name: str) -> pa.Table:
    """Return one view as an Arrow table."""
    if name == "groups":
        return results.to_arrow()
    return relations.relation(name, results.store, results.plans, results.scan)


def columns() -> Iterator[tuple[str, str, str]]:
    """Yield each view with its columns and their types in SQL."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        for name in VIEWS:
            connection.register(name, _empty(name))
            for column, kind, *_ in connection.execute(f"DESCRIBE {name}").fetchall():
                yield name, column, kind


def _listed(sql: str) -> list[str]:
    """Return the views that a query may list without naming them; their rows are not read."""
    if _LISTING.search(sql) is None:
        return []
    return [name for name in VIEWS if name not in named(sql)]


def _empty(name: str) -> pa.Table:
    """Return a view without rows."""
    if name == "groups":
        return arrow_table([], GROUP_COLUMNS)
    return relations.relation(name, Store(Path()), [], StoreScan({}, {}, ()))


def _waited(connection: duckdb.DuckDBPyConnection, work: Callable[[], Found]) -> Found:
    """Let DuckDB work in a thread, so that Ctrl-C is heard: its own code listens to no signal."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            # In steps, so that a signal is heard whichever thread the system gave it to.
            while not wait([future], timeout=_SECONDS_BETWEEN).done:
                pass
        except KeyboardInterrupt:
            connection.interrupt()
            raise
        return future.result()


def _batches(
    reader: pa.RecordBatchReader, found: Callable[[Callable[[], Any]], Any]
) -> pa.RecordBatchReader:
    """Return a reader of the same batches, each of which is waited for."""
    import pyarrow as pa

    def one_by_one() -> Iterator[pa.RecordBatch]:
        try:
            while (batch := found(lambda: next(reader, None))) is not None:
                yield batch
        # What DuckDB raises while it gives rows comes through Arrow, as one of these.
        except (OSError, pa.ArrowException) as error:
            raise RequestError(f"query: {_told(str(error))}") from None

    return pa.RecordBatchReader.from_batches(reader.schema, one_by_one())


def _check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        told = ", ".join(kinds) or "nothing"
        if kinds == ["MULTI"]:
            told = "PIVOT without its values; name them: PIVOT cells ON strategy IN ('full') ..."
        raise RequestError(f"a query is one SELECT that reads; this is {told}")


@contextmanager
def _mistakes(module: object) -> Iterator[None]:
    """Turn what DuckDB raises into one line."""
    raised: type[Exception] = module.Error  # type: ignore[attr-defined]
    try:
        yield
    except raised as error:
        raise RequestError(f"query: {_told(str(error))}") from None


def _told(message: str) -> str:
    """Return a message of DuckDB as one line, without the copy of the query that it ends with."""
    text = message.partition("\n\nLINE ")[0]
    if "file system operations are disabled" in text:
        return "it asks for a file; a query reads the views of the store alone"
    if "Arrow Appender" in text:
        return f"its texts are longer than {_MEMORY}; ask for fewer or shorter ones at once"
    if text.startswith("Out of Memory Error"):
        return f"it needs more than {_MEMORY} of memory; ask for fewer rows or columns at once"
    if "does not exist" in text and text.startswith("Catalog Error: Table"):
        text = f"{text.partition(chr(10))[0]} views: {', '.join(VIEWS)}"
    return one_line(text, 400)
