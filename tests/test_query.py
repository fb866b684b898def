"""SQL over a store: what the views hold, and what a query cannot do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support.records import make_cell, make_outputs, make_record

from sftbench.cli.query import query
from sftbench.errors import RequestError
from sftbench.plan import Plan, Skip
from sftbench.query import VIEWS, columns, named, query_table
from sftbench.records import HistoryRow
from sftbench.results import Results
from sftbench.store import Store

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies over three seeds: one failed, one missing, one skipped by the plan."""
    store = Store(tmp_path_factory.mktemp("store") / "results")
    cells = [make_cell(strategy=s, seed=n) for s in ("head-only", "full") for n in range(3)]
    history = (HistoryRow(stage="train", epoch=1.0, step=9, train_loss=0.5, rate=0.1),)
    skip = Skip(cell=make_cell(strategy="joint"), reason="needs a source set")
    store.add_plan(Plan(cells=tuple(cells), skipped=(skip,)))
    for cell in cells[:4]:
        store.write(make_record(cell, history=history), make_outputs())
    store.write(make_record(cells[4], "failed"))
    stray = make_cell(strategy="stray")
    store.write(make_record(stray), make_outputs())
    return store.path


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return Results(folder)


def ask(results: Results, sql: str) -> list[tuple]:
    return [tuple(row.values()) for row in query_table(results, sql).to_pylist()]


def test_cells_are_those_planned_and_those_recorded(results: Results) -> None:
    sql = "SELECT strategy, seed, status, is_planned, value FROM cells ORDER BY 1, 2"
    assert ask(results, sql) == [
        ("full", 0, "ok", True, 0.75),
        ("full", 1, "failed", True, None),
        ("full", 2, "missing", True, None),
        ("head-only", 0, "ok", True, 0.75),
        ("head-only", 1, "ok", True, 0.75),
        ("head-only", 2, "ok", True, 0.75),
        ("joint", 0, "skipped", True, None),
        ("stray", 0, "ok", False, 0.75),
    ]
    assert ask(
        results, "SELECT error FROM cells WHERE status IN ('failed', 'skipped') ORDER BY 1"
    ) == [
        ("RuntimeError: it broke",),
        ("needs a source set",),
    ]


def test_metrics_hold_every_number(results: Results) -> None:
    sql = (
        "SELECT split, metric, value, is_primary, direction FROM metrics "
        "WHERE which = 'selected' AND strategy = 'full' ORDER BY ALL"
    )
    assert ask(results, sql) == [
        ("test", "accuracy", 0.75, True, "max"),
        ("test", "nll", 0.5, False, "min"),
        ("val", "accuracy", 1.0, True, "max"),
        ("val", "nll", 0.25, False, "min"),
    ]


def test_history_and_classes(results: Results) -> None:
    assert ask(results, "SELECT DISTINCT step, train_loss, val_loss FROM history") == [
        (9, 0.5, None)
    ]
    assert ask(results, "SELECT DISTINCT label, support, recall FROM per_class") == [
        ("zero", 4, 0.75)
    ]


def test_predictions_are_the_kept_ones(results: Results) -> None:
    sql = (
        "SELECT split, which, index, target, output FROM predictions "
        "WHERE strategy = 'full' ORDER BY split, which, index"
    )
    kept = make_outputs()
    wanted = [
        (*key, int(i), int(t), pytest.approx(o.tolist()))
        for key in sorted(kept)
        for i, t, o in zip(kept[key].index, kept[key].targets, kept[key].outputs, strict=True)
    ]
    assert ask(results, sql) == wanted


def test_groups_are_the_rows_of_the_report(results: Results) -> None:
    sql = "SELECT label, verdict, seeds_completed FROM groups"
    wanted = [(row["label"], row["verdict"], row["seeds_completed"]) for row in results.rows()]
    assert ask(results, sql) == wanted


def test_only_views_that_are_named_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(*_: object) -> None:
        raise AssertionError("predictions were read")

    monkeypatch.setattr(Store, "predictions", unread)
    assert ask(Results(folder), "SELECT count(*) FROM cells, metrics")[0][0] > 0
    assert named("select * from Cells join per_class using (cell_id)") == ["cells", "per_class"]
    with pytest.raises(AssertionError, match="predictions were read"):
        ask(Results(folder), "FROM predictions")


def test_views_without_a_row_have_their_columns() -> None:
    found = {}
    for view, name, kind in columns():
        found.setdefault(view, {})[name] = kind
    assert list(found) == list(VIEWS)
    assert found["cells"]["seed"] == "BIGINT"
    assert found["predictions"]["output"] == "FLOAT[]"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM query('FROM read_text(''{file}'')')",
        "SELECT getenv('HOME')",
        "SELECT * FROM results",
        "COPY cells TO '{folder}/out.csv'",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW cells",
        "PRAGMA database_size",
        "CALL pragma_version()",
        "EXPORT DATABASE '{folder}'",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
    ],
)
def test_a_query_reads_the_views_alone(results: Results, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nthe secret\n")
    with pytest.raises(RequestError) as caught:
        query_table(results, sql.format(file=secret, folder=tmp_path))
    assert "secret\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'query: Parser Error: syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "a query is one SELECT that reads; this is SELECT, SELECT"),
        (
            "FROM nowhere",
            (
                "query: Catalog Error: Table with name nowhere does not exist! views: groups, "
                "cells, metrics, history, per_class, predictions"
            ),
        ),
        (
            "FROM read_text('/etc/hostname')",
            "query: it asks for a file; a query reads the views of the store alone",
        ),
        (
            "PIVOT cells ON strategy USING avg(value)",
            (
                "a query is one SELECT that reads; this is PIVOT without its values; name them: "
                "PIVOT cells ON strategy IN ('full') ..."
            ),
        ),
        ("SELECT error('\x1b[31m')", "query: Invalid Input Error: \\x1b[31m"),
        (
            "SELECT error(CASE WHEN range > 30000 THEN 'late' END) FROM range(50000)",
            "query: Invalid Input Error: late",
        ),
        (
            "SELECT repeat('x', 300000) FROM range(10000)",
            "query: its texts are longer than 2GB; ask for fewer or shorter ones at once",
        ),
        ("x" * 100_001, "the query has 100001 characters; the most is 100000"),
    ],
)
def test_mistakes_have_one_line(results: Results, sql: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        query_table(results, sql)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "-- which are there?\nshow /* all */ tables",
        "SELECT table_name FROM information_schema.tables ORDER BY 1",
        "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1",
    ],
)
def test_every_view_is_listed_and_none_is_read(
    folder: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "predictions", None)
    assert ask(Results(folder), sql) == [(name,) for name in sorted(VIEWS)]


def test_a_view_that_is_described_keeps_its_rows(results: Results) -> None:
    sql = "SELECT count(*), (SELECT count(*) FROM (DESCRIBE metrics)) FROM cells"
    assert ask(results, sql) == [(8, 13)]


def test_a_pivot_with_its_values(results: Results) -> None:
    sql = "PIVOT (SELECT strategy, seed FROM cells) ON strategy IN ('full') USING count(*)"
    assert ask(results, sql + " ORDER BY seed") == [(0, 1), (1, 1), (2, 1)]


def test_ctrl_c_is_heard_while_a_query_runs(results: Results) -> None:
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        query_table(
            results, "SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000000) b"
        )
    timer.join()
    assert time.monotonic() - start < 60


def test_the_command_needs_no_torch(folder: Path) -> None:
    block = "import sys; sys.modules['torch'] = None; from sftbench.cli import main; main()"
    sql = "SELECT strategy, count(*) AS cells FROM cells GROUP BY ALL ORDER BY ALL LIMIT 1"
    done = subprocess.run(
        [sys.executable, "-c", block, "query", str(folder), sql],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SFTBENCH_PLUGINS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "strategy  cells\nfull          3\n(1 row)\n"


def test_answers_in_a_file(folder: Path, tmp_path: Path) -> None:
    sql = "SELECT 1 AS a, 2 AS a, '=x' AS b"
    for form in ("table", "csv", "json", "parquet"):
        target = tmp_path / f"answer.{form}"
        done = CliRunner().invoke(query, [str(folder), sql, "--format", form, "-o", str(target)])
        assert (done.exit_code, done.output) == (0, f"wrote {target}\n")
    assert (tmp_path / "answer.csv").read_text() == "a,a_1,b\n1,2,'=x\n"
    wanted = [{"a": 1, "a_1": 2, "b": "=x"}]
    assert json.loads((tmp_path / "answer.json").read_text()) == wanted
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == wanted
    missing = tmp_path / "none" / "x.csv"
    done = CliRunner().invoke(query, [str(folder), sql, "--format", "csv", "-o", str(missing)])
    assert str(done.exception) == f"cannot write {missing}: No such file or directory"
    streamed = CliRunner().invoke(query, [str(folder), sql, "--format", "csv"])
    assert streamed.output == "a,a_1,b\n1,2,'=x\n"


HELD = (
    "SELECT 170141183460469231731687303715884105727::HUGEINT AS h, [-5::HUGEINT] AS l, "
    "'\\x00\\xFF'::BLOB AS b, {'x': 'a'::BLOB} AS s, sum(seed) AS u, 1.50 AS d FROM cells"
)


def test_no_digit_and_no_byte_is_lost_in_texts(folder: Path) -> None:
    done = CliRunner().invoke(query, [str(folder), HELD, "--format", "json"])
    assert json.loads(done.output) == [
        {"h": 2**127 - 1, "l": [-5], "b": "00ff", "s": {"x": "61"}, "u": 6, "d": 1.5}
    ]
    assert f'"h": {2**127 - 1}, ' in done.output
    done = CliRunner().invoke(query, [str(folder), HELD, "--format", "csv"])
    assert done.output.splitlines()[1] == f'{2**127 - 1},[-5],00ff,"{{""x"": ""61""}}",6,1.50'
    done = CliRunner().invoke(query, [str(folder), "SELECT '\\xFF'::BLOB AS b"])
    assert done.output == "b\nff\n(1 row)\n"


CAST = "give it as text: CAST(... AS VARCHAR)"


@pytest.mark.parametrize(
    ("sql", "form", "message"),
    [
        (
            "SELECT 1 AS x, INTERVAL 1 day AS i",
            "parquet",
            f"query: Parquet cannot hold column i: month_day_nano_interval; {CAST}",
        ),
        (
            "SELECT [union_value(k := 1)] AS u",
            "parquet",
            f"query: Parquet cannot hold column u: list<l: sparse_union<k: int32=0>>; {CAST}",
        ),
        (
            "SELECT 1 AS x, DATE 'infinity' AS d",
            "csv",
            (
                "query: a text cannot hold column d: beyond the years 1 to 9999 in date32[day]; "
                f"{CAST}"
            ),
        ),
        ("SELECT 1::BIGNUM AS n", "json", f"query: a text cannot hold column n: bignum; {CAST}"),
    ],
)
def test_what_a_format_cannot_hold_is_named(
    folder: Path, tmp_path: Path, sql: str, form: str, message: str
) -> None:
    target = tmp_path / "answer"
    done = CliRunner().invoke(query, [str(folder), sql, "--format", form, "-o", str(target)])
    assert isinstance(done.exception, RequestError)
    assert str(done.exception) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", ["-- one\nSELECT 1 AS a", "--one = 1\nSELECT 1 AS a"])
def test_a_query_may_begin_with_a_comment(folder: Path, sql: str) -> None:
    for words in ([sql, "--format", "csv"], ["--format", "csv", sql]):
        done = CliRunner().invoke(query, [str(folder), *words])
        assert (done.exit_code, done.output) == (0, "a\n1\n")


def test_an_option_that_is_none_stays_a_mistake(folder: Path) -> None:
    done = CliRunner().invoke(query, [str(folder), "--fromat", "csv"])
    assert done.exit_code == 2
    assert "No such option '--fromat'" in done.output


def test_without_a_query_the_views_are_listed(folder: Path) -> None:
    done = CliRunner().invoke(query, [str(folder)])
    lines = done.output.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith("  ")] == list(VIEWS)
    assert max(map(len, lines)) <= 100


def test_a_negative_decimal_is_a_number_in_csv(folder: Path) -> None:
    done = CliRunner().invoke(query, [str(folder), "SELECT -1.50 AS d", "--format", "csv"])
    assert done.output.splitlines() == ["d", "-1.50"]
