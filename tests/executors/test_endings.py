"""However a cell ends, it has a record that says so, and the rest goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import executing
from support.executing import Ran, children, gone, make_cells, noted

from sftbench.api import Cell, CellStarted
from sftbench.builtin.executors.local import Local
from sftbench.records import Failure

KILLED = "the worker was killed by SIGKILL (often the system's answer to memory running out)"


@pytest.fixture(autouse=True)
def plugin(
    make_plugin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executing.install(make_plugin, tmp_path / "notes", monkeypatch)


def run(out: Path, cells: Sequence[Cell], **job: Any) -> Ran:
    # One thread: two of a busy machine wait for each other more than they compute.
    ran = executing.run(Local(), cells, out, deterministic=True, **job)
    ran.check(cells)
    assert children() == set()
    return ran


def failure(ran: Ran, strategy: str) -> Failure:
    error = ran.record(strategy).error
    assert error is not None
    return error


def told(ran: Ran) -> dict[str, str]:
    """Return how each cell ended that did not end well."""
    found = {}
    for record in ran.store.scan().records.values():
        if record.error is not None:
            name = record.cell.strategy
            found[name] = f"{record.status}: {record.error.type}: {record.error.message}"
    return found


def places(ran: Ran, strategy: str) -> list[str]:
    """Return the lines of a cell's traceback that name the plugin's method."""
    lines = failure(ran, strategy).traceback.splitlines()
    return [line for line in lines if "failing_plugin.py" in line and line.endswith(" in fail")]


def test_what_python_raises_is_told_and_costs_no_worker(tmp_path: Path) -> None:
    cells = make_cells(
        *("raises", "raises-in-step", "raises-mute", "panics", "sys-exits", "prints"),
        *("eats-memory", "eats-python-memory", "diverges", "poisons"),
        backbone="noted-convnet",
        dataset="noted-images",
    )
    cells += make_cells("keeps", backbone="odd-convnet", dataset="noted-images")
    cells += make_cells("healthy", backbone="noted-convnet", dataset="noted-images")
    ran = run(tmp_path / "out", cells, jobs=1)

    ends = told(ran)
    eaten = ends.pop("eats-memory")
    assert eaten.startswith("out_of_memory: RuntimeError: ")
    assert "you tried to allocate 4611686018427387904 bytes" in eaten
    odd = ends.pop("keeps")
    assert odd.startswith("failed: RecordError: the record of cell ")
    assert "cannot be kept: " in odd
    assert ends == {
        "raises": r"failed: ValueError: no stages today \x1b[31mred",
        "raises-in-step": "failed: KeyError: 'missing'",
        "raises-mute": "failed: MuteError: ",
        "panics": "failed: Panic: rust",
        "sys-exits": "failed: SystemExit: 3",
        "eats-python-memory": "out_of_memory: MemoryError: ",
        "diverges": "diverged: DivergedError: loss is nan at step 1 of stage 'train'",
        "poisons": (
            "failed: ValueError: logits must be finite: "
            "32 of 32 examples are not, the first at index 0"
        ),
    }
    for name in ("raises-in-step", "raises-mute", "panics", "sys-exits", "eats-memory"):
        assert failure(ran, name).traceback.startswith("Traceback (most recent call last):\n")
        assert len(places(ran, name)) == 1
    # What had come so far is kept.
    assert [row.step for row in ran.record("raises-in-step").history] == [1, 3]
    # What a plugin prints is no message, and it reads none.
    assert ran.record("prints").status == ran.record("healthy").status == "ok"
    assert noted("read") == [["''", "b''"]]
    # One worker ran them all, and kept what they share; but where memory ran out, no images.
    workers = {tuple(words) for words in noted("load")}
    assert len(workers) == 2
    assert len(noted("load")) == 2 * 3
    assert [split for split, _ in sorted(workers)] == ["test", "train"]
    assert len(noted("weights")) == 1


def test_a_worker_that_dies_or_hangs_is_replaced(tmp_path: Path) -> None:
    cells = make_cells("hangs-in-c", "spawns-child", "segfaults", "forks-and-dies")
    cells += make_cells("healthy", seeds=range(2))
    ran = run(tmp_path / "out", cells, jobs=2, timeout=5.0)

    assert told(ran) == {
        "hangs-in-c": "timed_out: timed_out: over the limit of 5 seconds",
        "spawns-child": "timed_out: timed_out: over the limit of 5 seconds",
        "segfaults": "crashed: crashed: the worker was killed by SIGSEGV",
        "forks-and-dies": f"crashed: crashed: {KILLED}",
    }
    assert ran.statuses()["healthy", 0] == ran.statuses()["healthy", 1] == "ok"
    for name in ("hangs-in-c", "spawns-child", "segfaults"):
        assert len(places(ran, name)) == 1
    for name in ("hangs-in-c", "spawns-child"):
        record = ran.record(name)
        ended = dt.datetime.fromisoformat(record.finished_at)
        took = (ended - dt.datetime.fromisoformat(record.started_at)).total_seconds()
        # The seconds until the worker had done its imports are not the cell's.
        assert 5.0 <= took < 9.0
    children = [int(child) for [child] in noted("child")]
    assert len(children) == 3
    assert all(gone(child) for child in children)


def test_cells_that_lose_their_worker_together_run_again_alone(tmp_path: Path) -> None:
    cells = make_cells("dies-together", seeds=range(3))
    ran = executing.run(Local(), cells, tmp_path / "out", jobs=1)

    records = ran.store.scan().records
    assert records.keys() == {cell.cell_id for cell in cells}
    assert {record.status for record in records.values()} == {"ok"}
    assert {record.timing.shared_by_cells for record in records.values()} == {1}
    begun = [event for event in ran.events if isinstance(event, CellStarted)]
    assert [event.cell.seed for event in begun] == [0, 1, 2, 0, 1, 2]


def test_heads_of_several_seeds_share_one_worker(tmp_path: Path) -> None:
    cells = make_cells("head-only", seeds=range(3))
    ran = executing.run(Local(), cells, tmp_path / "out", jobs=1)

    ran.check(cells)
    records = ran.store.scan().records.values()
    assert {record.timing.shared_by_cells for record in records} == {3}


@pytest.mark.slow
def test_further_ways_to_end_a_worker(tmp_path: Path) -> None:
    cells = make_cells("kills", "exits", "closes-files", "lingers", "leaves", "hangs")
    ran = run(tmp_path / "out", with_healthy(cells), jobs=1, timeout=5.0)

    assert told(ran) == {
        "kills": f"crashed: crashed: {KILLED}",
        "exits": "crashed: crashed: the worker ended with exit code 7",
        "closes-files": "crashed: crashed: the worker closed its connection",
        "hangs": "timed_out: timed_out: over the limit of 5 seconds",
    }
    assert failure(ran, "kills").traceback == "last words"
    assert failure(ran, "exits").traceback == "leaving\n"
    assert failure(ran, "hangs").traceback.startswith("about to hang\n")
    assert len(places(ran, "hangs")) == 1


def with_healthy(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells, each followed by a healthy one."""
    healthy = make_cells("healthy", seeds=range(len(cells)))
    return [cell for pair in zip(cells, healthy, strict=True) for cell in pair]


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    ran = run(tmp_path / "out", [])
    assert ran.events == []
    assert not ran.store.path.exists()
