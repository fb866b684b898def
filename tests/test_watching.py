"""A run followed by somebody else: what it says, what the store adds, and when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.records import make_cell, make_outputs, make_record

from sftbench.cli.watch import record_line, status_line, watch
from sftbench.contracts.execution import (
    CellFinished,
    CellProgress,
    CellStarted,
    Event,
    Executor,
    Job,
)
from sftbench.errors import RequestError
from sftbench.heartbeat import Beat, beating, heartbeats
from sftbench.plan import Cell, Plan
from sftbench.records import Timing
from sftbench.running import run_plan
from sftbench.store import Store
from sftbench.watching import Watcher

ROOT = Path(__file__).parent.parent
PLAN = Plan(cells=tuple(make_cell(seed=seed) for seed in range(3)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.add_plan(PLAN)
    return store


def end(store: Store, seed: int, status: str = "ok") -> CellFinished:
    outputs = make_outputs() if status == "ok" else None
    draft = make_record(PLAN.cells[seed], status, timing=Timing(total_seconds=2.5))
    return CellFinished(store.write(draft, outputs))


def test_a_look_sees_what_the_run_says_and_what_the_store_has(store: Store) -> None:
    watcher = Watcher(store.path)
    with beating(store.path, PLAN.plan_id, 3) as beat:
        beat._last = 0.0
        beat(CellStarted(PLAN.cells[0], worker=0))
        look = watcher.look()
        assert (look.running[PLAN.cells[0].cell_id].stage, look.records) == ("starting", {})
        beat._last = 0.0
        beat(CellProgress(PLAN.cells[0].cell_id, "train", 3, 12))
        assert watcher.look().running[PLAN.cells[0].cell_id].share == 0.25
        beat._last = 0.0
        beat(end(store, 0))
        look = watcher.look()
        assert (look.running, [one.cell.seed for one in look.new]) == ({}, [0])
        assert look.beat is not None
        assert look.beat.seconds_left is not None
        assert re.fullmatch(r"1 of 3 cells: 1 ok; 0 at work; about \d+ s to go", status_line(look))
        assert watcher.look().new == ()
        end(store, 1, "failed")
        end(store, 2, "interrupted")
        assert not watcher.look().is_done
    look = watcher.look()
    assert (look.beat, look.is_done) == (None, False)
    assert status_line(look) == "3 of 3 cells: 1 failed, 1 interrupted, 1 ok; no run is at work"
    end(store, 2)
    look = watcher.look()
    assert [one.attempt for one in look.new] == [2]
    assert status_line(look) == "3 of 3 cells: 1 failed, 2 ok; done"


def test_a_record_has_one_line(store: Store) -> None:
    assert record_line(end(store, 0).record) == (
        "tiny head-only on digits/balanced seed 0: ok accuracy 0.750, 2.5 s"
    )
    hostile = make_record(make_cell(strategy="x\x1b[31m\n"), "failed")
    assert record_line(hostile) == (
        "tiny x\\x1b[31m on digits/balanced seed 0: failed RuntimeError: it broke"
    )


class Looking(Executor):
    """Ends each cell, and notes what others see meanwhile."""

    name = "looking"
    seen: list[tuple[str, int]]

    def run(self, cells: Sequence[Cell], job: Job, emit: Callable[[Event], None]) -> None:
        self.seen = [(beat.plan_id, beat.total) for beat in heartbeats(job.out)]
        raise KeyboardInterrupt


def test_a_run_is_seen_while_it_goes_on_and_leaves_nothing(tmp_path: Path) -> None:
    executor = Looking()
    with pytest.raises(KeyboardInterrupt):
        run_plan(PLAN, PLAN.cells, Job(out=tmp_path), executor)
    assert executor.seen == [(PLAN.plan_id, 3)]
    assert [path.name for path in tmp_path.iterdir()] == ["plans"]


def test_a_file_of_a_dead_run_counts_for_nothing_and_the_next_run_takes_it_away(
    store: Store,
) -> None:
    with beating(store.path, PLAN.plan_id, 3):
        mine = store.path / f".running-{os.getpid()}.json"
        said = json.loads(mine.read_text())
        done = subprocess.Popen([sys.executable, "-c", ""])
        done.wait()
        dead = store.path / f".running-{done.pid}.json"
        dead.write_text(json.dumps(said | {"pid": done.pid}))
        hostile = {
            "1": "not JSON",
            "2": json.dumps(said),  # the id is another's
            "3": json.dumps(said | {"pid": 3, "host": "elsewhere", "updated": 1.0}),
            "4": json.dumps(said | {"pid": 4, "more": 1}),
            "5": json.dumps(said | {"pid": 5, "started": 1e999}),
        }
        for number, text in hostile.items():
            (store.path / f".running-{number}.json").write_text(text)
        (store.path / ".running-6.json").symlink_to(mine)
        assert [beat.pid for beat in heartbeats(store.path)] == [os.getpid()]
    with beating(store.path, PLAN.plan_id, 3):
        assert [path.name for path in store.path.glob(".running-*")] == [mine.name]


def test_a_run_goes_on_where_the_file_cannot_be_written(tmp_path: Path) -> None:
    beat = Beat(tmp_path / "missing", "p", 1)
    beat(CellStarted(PLAN.cells[0], worker=0))
    beat.close()


def test_lines_in_a_pipe_end_with_the_plan(store: Store) -> None:
    def go_on() -> None:
        with beating(store.path, PLAN.plan_id, 2) as beat:
            started.set()
            for seed in (1, 2):
                time.sleep(0.3)
                beat(end(store, seed, "ok" if seed == 1 else "failed"))

    started = threading.Event()
    end(store, 0)
    thread = threading.Thread(target=go_on)
    thread.start()
    started.wait()
    done = CliRunner().invoke(watch, [str(store.path), "--every", "0.1"], standalone_mode=False)
    thread.join()
    assert done.return_value == 1, done
    lines = done.output.splitlines()
    assert lines[0] == "1 of 3 cells: 1 ok; 0 at work"
    assert "tiny head-only on digits/balanced seed 1: ok accuracy 0.750, 2.5 s" in lines
    assert "tiny head-only on digits/balanced seed 2: failed RuntimeError: it broke, 2.5 s" in lines
    assert lines[-1] == "3 of 3 cells: 1 failed, 2 ok; done"


def test_once_says_where_it_stands(store: Store) -> None:
    end(store, 0)
    done = CliRunner().invoke(watch, [str(store.path), "--once"], standalone_mode=False)
    assert done.return_value == 0
    lines = done.output.splitlines()
    assert lines[1].split()[:6] == ["digits", "/", "balanced", "head-only", "1/3", "0.750"]
    assert lines[2] == "1 of 3 cells: 1 ok; no run is at work"
    assert max(map(len, lines)) <= 100


def test_without_a_plan_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        Watcher(tmp_path).look()
    assert str(caught.value) == f"no plan in {tmp_path}; sftbench run --out makes one"


def test_it_waits_for_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "later"
    command = [sys.executable, "-m", "sftbench", "watch", str(path), "--every", "0.1"]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stderr is not None
        told = watching.stderr.readline()
        assert told == f"no plan in {path} yet; waiting for sftbench run --out {path}\n"
        store = Store(path)
        for seed in range(3):
            end(store, seed)
        store.add_plan(PLAN)
        out, _ = watching.communicate(timeout=30)
    assert (watching.returncode, out) == (0, "3 of 3 cells: 3 ok; done\n")


def test_ctrl_c_ends_it_with_130(store: Store) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "sftbench", "watch", str(store.path), "--every", "0.1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert watching.stdout.readline() == "0 of 3 cells; no run is at work\n"
    watching.send_signal(signal.SIGINT)
    _, told = watching.communicate(timeout=30)
    assert (watching.returncode, told.strip()) == (130, "interrupted")
