"""docs/formats.md: its queries and blocks run, its lists are whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.records import make_cell, make_outputs, make_record

from sftbench import Results
from sftbench.api import CellFinished, Job
from sftbench.cli.query import query
from sftbench.plan import Plan
from sftbench.query import query_table
from sftbench.records import ClassResult, HistoryRow
from sftbench.report.flat import CELL_COLUMNS, GROUP_COLUMNS
from sftbench.store import Store
from sftbench.testing.execution import TRACKER

PAGE = (Path(__file__).parent.parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("store") / "results")
    names = ("head-only", "full", "scratch")
    cells = [make_cell(strategy=name, seed=seed) for name in names for seed in range(3)]
    store.add_plan(Plan(cells=tuple(cells)))
    history = tuple(
        HistoryRow(stage="train", epoch=1.0, step=step, train_loss=9 / step, rate=0.1)
        for step in (10, 20)
    )
    classes = tuple(
        ClassResult(label=name, train_count=9, support=4, recall=recall)
        for name, recall in (("zero", 0.75), ("one", 0.5))
    )
    for cell in cells[:-1]:
        store.write(make_record(cell, history=history, per_class=classes), make_outputs())
    store.write(make_record(cells[-1], "failed"))
    return store.path


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return Results(folder)


def test_there_are_queries() -> None:
    assert len(QUERIES) == 8


@pytest.mark.parametrize("sql", QUERIES)
def test_each_query_finds_something(results: Results, sql: str) -> None:
    assert query_table(results, sql).num_rows > 0


def test_the_first_query_says_what_it_is_said_to_say(results: Results) -> None:
    found = query_table(results, QUERIES[0]).to_pylist()
    assert [(row["strategy"], row["status"], row["cells"]) for row in found] == [
        ("full", "ok", 3),
        ("head-only", "ok", 3),
        ("scratch", "failed", 1),
        ("scratch", "ok", 2),
    ]


def test_the_views_are_printed_as_the_page_says(folder: Path) -> None:
    printed = re.search(r"<!-- views -->\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert printed is not None
    assert CliRunner().invoke(query, [str(folder)]).output == printed[1]


@pytest.mark.parametrize(("what", "types"), [("groups", GROUP_COLUMNS), ("cells", CELL_COLUMNS)])
def test_the_columns_are_listed(what: str, types: dict[str, type]) -> None:
    listed = re.search(rf"^Columns of {what}: (.*?)\.$", PAGE, re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == list(types)


def test_the_blocks_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"folder": str(folder)}
    for block in BLOCKS:
        exec(compile(block, "formats.md", "exec"), names)
    assert len(list((folder / "tensorboard").rglob("events.out.tfevents.*"))) == 9
    tracker = names["Shout"]()
    assert names["sftbench_trackers"]() == [names["Shout"]]
    records = Results(folder).records
    tracker.start(Results(folder).plans[0], Job(out=folder))
    tracker.event(CellFinished(next(one for one in records if one.status == "ok")))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"9 cells into {folder}"
    assert lines[-1].endswith(" ok 0.45")
    assert [rule(tracker) for rule in TRACKER] == [None, None]
