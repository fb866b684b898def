"""Ctrl-C, a kill, a script without a guard: nothing finished is lost, and nothing is left over."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support import executing
from support.executing import children, gone, make_cells, noted

from sftbench.api import CellStarted, Event, Job
from sftbench.builtin.executors.local import Local
from sftbench.records import Record
from sftbench.store import Store

SEEDS = 8


@pytest.fixture(autouse=True)
def plugin(
    make_plugin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executing.install(make_plugin, tmp_path / "notes", monkeypatch)


def command(out: Path) -> list[str]:
    """Return the command line of eight cells on two workers."""
    return [
        *(sys.executable, "-m", "sftbench", "run", "--out", str(out), "--device", "cpu"),
        *("-b", "tiny-convnet", "-d", "tiny-images", "-s", "trap", "--baseline", "trap"),
        *("--seeds", str(SEEDS), "--epochs", "2", "--batch-size", "16", "--image-size", "12"),
        *("--jobs", "2", "--deterministic", "--tracker", "jsonl"),
    ]


@contextmanager
def running(out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command line in a group of its own, as a terminal does."""
    with (out.parent / "stderr").open("ab") as stderr:
        process = subprocess.Popen(
            command(out), start_new_session=True, stdout=subprocess.DEVNULL, stderr=stderr
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def told(out: Path, event: str) -> dict[str, str]:
    """Return the status by cell of what the tracker was told; '' for what has none."""
    path = out / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return {line["cell_id"]: line.get("status", "") for line in found if line["event"] == event}


def wait_until(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)


def wait_until_some_are_done(
    out: Path, process: subprocess.Popen[bytes], done: int
) -> list[psutil.Process]:
    """Wait for `done` finished cells and a trapped one; return the processes that run then."""
    wait_until(lambda: len(told(out, "finished")) >= done and len(noted("trapped")) > 0, process)
    return psutil.Process(process.pid).children(recursive=True)


def records(out: Path) -> dict[str, Record]:
    scan = Store(out).scan()
    assert scan.problems == ()
    return dict(scan.records)


def reset_trap() -> None:
    notes = Path(os.environ["NOTES"])
    Path(f"{notes}.trap").unlink()
    notes.write_text("")


def test_ctrl_c_and_a_kill_lose_no_finished_cell_and_leave_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(out) as process:
        below = wait_until_some_are_done(out, process, 2)
        # Two workers with a guard each, and the child of the trapped one.
        assert len(below) == 5
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(60)
        took = time.monotonic() - start
    assert code == 130
    assert took < 2.0
    assert all(gone(child.pid, seconds=0.2) for child in below)
    stopped = records(out)
    assert {cell: record.status for cell, record in stopped.items()} == told(out, "finished")
    ends = [record.status for record in stopped.values()]
    assert ends.count("ok") >= 2
    assert ends.count("interrupted") in {1, 2}
    assert {record.error.message for record in stopped.values() if record.error} == {
        "stopped by the user"
    }

    # The same again: what was finished is not due, what was in flight is. Then it is killed.
    reset_trap()
    done = [cell for cell, record in stopped.items() if record.status == "ok"]
    with running(out) as process:
        below = wait_until_some_are_done(out, process, len(stopped) + 1)
        time.sleep(random.Random(0).uniform(0.0, 0.3))
        process.kill()
        process.wait()
        assert all(gone(child.pid) for child in below)
    killed = records(out)
    finished = told(out, "finished")
    assert {cell: killed[cell].status for cell in finished} == finished
    assert all(killed[cell] == stopped[cell] for cell in done)
    done = [cell for cell, record in killed.items() if record.status == "ok"]

    # Once more, now without a trap.
    before = (out / "events.jsonl").stat().st_size
    again = subprocess.run(command(out), check=False, capture_output=True)
    assert again.returncode == 0, again.stderr
    completed = records(out)
    assert len(completed) == SEEDS
    assert {record.status for record in completed.values()} == {"ok"}
    assert all(completed[cell] == killed[cell] for cell in done)
    events = (out / "events.jsonl").read_bytes()[before:].splitlines()
    started = {line["cell_id"] for line in map(json.loads, events) if line["event"] == "started"}
    assert started == completed.keys() - set(done)


@pytest.mark.slow
def test_stopped_and_killed_at_any_moment(tmp_path: Path) -> None:
    out, moments = tmp_path / "out", random.Random(1)
    for signals in [
        (signal.SIGKILL,),
        (signal.SIGINT,),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM,),
    ] * 6:
        done = [record for record in records(out).values() if record.status == "ok"]
        with running(out) as process:
            below: list[psutil.Process] = []
            end = time.monotonic() + moments.uniform(0.0, 12.0)
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    below = psutil.Process(process.pid).children(recursive=True) or below
                time.sleep(0.05)
            start = time.monotonic()
            for number in signals:
                process.send_signal(number)
                time.sleep(0.05)
            process.wait(60)
            assert time.monotonic() - start < 2.0
            assert all(gone(child.pid) for child in below)
        now = records(out)
        assert all(now[record.cell_id] == record for record in done)
        assert {record.status for record in now.values()} <= {"ok", "interrupted"}
        assert told(out, "finished").keys() <= now.keys()


SCRIPT = """
import sys

sys.path.append(sys.argv[1])
print("script", flush=True)
import sftbench

results = sftbench.run(
    out=sys.argv[2], device="cpu", jobs=2, backbone="tiny-convnet", dataset="tiny-images",
    strategy="prints", baseline="prints", seeds=(0, 1), changes={"epochs": 2, "image_size": 12},
    deterministic=True,
)
print("end")
"""


def test_a_script_needs_no_guard_and_workers_import_from_where_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out, elsewhere = tmp_path / "script.py", tmp_path / "out", tmp_path / "elsewhere"
    script.write_text(SCRIPT)
    # The plugin is found by the script's own path alone; what lies about in the folder where the
    # script happens to be started is not imported.
    site = str(tmp_path / "site")
    paths = [path for path in os.environ["PYTHONPATH"].split(os.pathsep) if path != site]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    elsewhere.mkdir()
    for module in ("json", "torch", "sftbench"):
        (elsewhere / f"{module}.py").write_text("raise RuntimeError('not this one')")
    done = subprocess.run(
        [sys.executable, str(script), site, str(out)],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "script\nend\n"
    assert [record.status for record in records(out).values()] == ["ok", "ok"]


@pytest.mark.slow
def test_a_listeners_mistake_stops_the_run_and_says_so(tmp_path: Path) -> None:
    cells = make_cells("hangs-in-c", "healthy")
    job = Job(out=tmp_path / "out", jobs=1)

    def emit(event: Event) -> None:
        if event.__class__ is CellStarted:
            raise RuntimeError("a listener's own")

    with pytest.raises(RuntimeError, match="a listener's own"):
        Local().run(cells, job, emit)
    assert children() == set()
    [record] = records(job.out).values()
    assert record.status == "interrupted"
    assert record.error is not None
    assert record.error.message == "the run stopped: RuntimeError: a listener's own"
