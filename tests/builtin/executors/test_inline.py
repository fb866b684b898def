"""Cells in this process: each has a record, and what one held is let go before the next."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import executing
from support.executing import Ran, make_cells, noted

from sftbench.api import CellFinished, CellProgress, CellStarted, Event, Job, RequestError
from sftbench.builtin.executors.inline import Inline
from sftbench.store import Store


@pytest.fixture(autouse=True)
def plugin(
    make_plugin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executing.install(make_plugin, tmp_path / "notes", monkeypatch)


def test_every_cell_has_a_record_and_lets_go_of_its_model(tmp_path: Path) -> None:
    cells = make_cells("raises", "sys-exits", "holds", "keeps", seeds=range(2))
    gc.collect()
    gc.disable()  # else it would hide what is held until the collector comes by chance
    try:
        ran = executing.run(Inline(), cells, tmp_path / "out")
    finally:
        gc.enable()
    ran.check(cells)
    assert [type(event) for event in ran.events if not isinstance(event, CellProgress)] == [
        CellStarted,
        CellFinished,
    ] * len(cells)
    assert set(ran.statuses().values()) == {"failed", "ok"}
    assert {name for (name, _), status in ran.statuses().items() if status == "ok"} == {"keeps"}
    assert noted("alive") == [["0", "of", str(earlier)] for earlier in range(4)]


def test_a_cell_run_twice_gives_the_same_bits(tmp_path: Path) -> None:
    cells = make_cells("full", "lp-ft")
    ran = [
        executing.run(Inline(), cells, tmp_path / name, deterministic=True)
        for name in ("first", "again")
    ]
    for cell in cells:
        first, again = (outputs(run, cell.strategy) for run in ran)
        assert (
            first.keys()
            == again.keys()
            == {(split, which) for split in ("val", "test") for which in ("selected", "last")}
        )
        assert all(first[key] == again[key] for key in first)


def outputs(ran: Ran, strategy: str) -> dict[tuple[str, str], bytes]:
    kept = ran.store.predictions(ran.record(strategy))
    return {key: np.ascontiguousarray(value.outputs).tobytes() for key, value in kept.items()}


def test_torch_is_left_as_it_was(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    try:
        torch.set_num_threads(2)
        executing.run(Inline(), [], tmp_path / "out", deterministic=True)
        assert torch.get_num_threads() == 2
        executing.run(Inline(), [], tmp_path / "out")
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("changes", [{"timeout": 5.0}, {"jobs": 2}])
def test_what_needs_processes_is_refused(tmp_path: Path, changes: dict[str, float]) -> None:
    job = replace(Job(out=tmp_path / "out"), **changes)
    with pytest.raises(RequestError) as caught:
        Inline().run([], job, print)
    assert str(caught.value) == ("executor 'inline' has no --timeout and one job; use 'local'")
    assert not job.out.exists()


def test_ctrl_c_leaves_a_record_that_counts_as_missing(tmp_path: Path) -> None:
    cells = make_cells("healthy", seeds=range(3))
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, CellProgress) and event.cell_id == cells[1].cell_id:
            raise KeyboardInterrupt

    job = Job(out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        Inline().run(cells, job, emit)
    scan = Store(job.out).scan()
    assert scan.problems == ()
    assert {cell_id: record.status for cell_id, record in scan.records.items()} == {
        cells[0].cell_id: "ok",
        cells[1].cell_id: "interrupted",
    }
    last = events[-1]
    assert isinstance(last, CellFinished)
    assert last.record.error is not None
    assert last.record.error.message == "stopped by the user"


def test_a_listeners_mistake_is_not_the_cells(tmp_path: Path) -> None:
    cells = make_cells("healthy", seeds=range(2))

    def emit(event: Event) -> None:
        if isinstance(event, CellProgress):
            raise BrokenPipeError("the reader has gone")

    job = Job(out=tmp_path / "out")
    with pytest.raises(BrokenPipeError, match="the reader has gone"):
        Inline().run(cells, job, emit)
    assert [record.status for record in Store(job.out).scan().records.values()] == ["ok"]
