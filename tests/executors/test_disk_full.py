"""A disk that is full or read-only ends a run in one line; with room, the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sftbench.cli import main as command_line
from sftbench.store import Store

PLUGIN = """
from sftbench.api import hookimpl
from sftbench.testing import TinyBackbone, TinyImages

@hookimpl
def sftbench_backbones():
    return [TinyBackbone]

@hookimpl
def sftbench_datasets():
    return [TinyImages]
"""
TINY = ["run", "-b", "tiny-convnet", "-d", "tiny-images", "-s", "full", "--baseline", "full",
        "--device", "cpu", "--epochs", "1", "--batch-size", "16", "--seeds", "6"]  # fmt: skip
EXECUTORS = pytest.mark.parametrize(
    "executor",
    [["--executor", "inline"], ["--executor", "local", "--jobs", "1"]],
    ids=lambda x: x[1],
)
NUM_CELLS = 6


@pytest.fixture(autouse=True)
def plugin(make_plugin: Callable[..., Path]) -> None:
    make_plugin("tiny_plugin", PLUGIN)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"]
    try:
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount on this system")
    if done.returncode != 0:
        pytest.skip("mounting a tmpfs needs the rights of root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave(disk: Path, num_bytes: int) -> Path:
    """Fill the disk but for `num_bytes`; return what fills it."""
    ballast = disk / "ballast"
    state = os.statvfs(disk)
    ballast.write_bytes(bytes(state.f_bavail * state.f_frsize - num_bytes))
    return ballast


def call(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, list[str]]:
    monkeypatch.setattr(sys, "argv", ["sftbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err.splitlines()


def full_disk(out: Path) -> str:
    return (
        f"error: cannot write to the store {out}: No space left on device; make room and run the "
        "same command again: finished cells are kept"
    )


@EXECUTORS
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(
    executor: list[str],
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = disk / "out"
    # A plan and two or three cells of about 16 KiB each.
    ballast = leave(disk, 60 * 1024)
    arguments = [*TINY, *executor, "--out", str(out)]
    code, told, said = call(arguments, monkeypatch, capsys)
    assert (code, told, said[-1]) == (1, "", full_disk(out))
    assert [line for line in said if line.startswith("error")] == said[-1:]

    scan = Store(out).scan()
    assert scan.problems == ()
    finished = {cell_id for cell_id, one in scan.records.items() if one.status == "ok"}
    # What the disk did is not said of the method.
    assert {one.status for one in scan.records.values()} <= {"ok", "interrupted"}
    assert 0 < len(finished) < NUM_CELLS
    assert [path for path in out.rglob("*") if path.suffix == ".tmp"] == []

    ballast.unlink()
    code, told, said = call(arguments, monkeypatch, capsys)
    assert code == 0, said
    waiting = NUM_CELLS - len(finished)
    assert said[0].startswith(f"running {waiting} cells; {len(finished)} have a record already")
    assert f"{NUM_CELLS}/{NUM_CELLS}" in told
    again = Store(out).scan()
    assert again.problems == ()
    assert {one.status for one in again.records.values()} == {"ok"}
    assert {cell_id: again.records[cell_id] for cell_id in finished} == {
        cell_id: scan.records[cell_id] for cell_id in finished
    }


def test_a_disk_that_is_full_at_the_start_runs_nothing(
    disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(disk, 0)
    arguments = [*TINY, "--executor", "inline", "--out", str(disk / "out")]
    code, told, said = call(arguments, monkeypatch, capsys)
    assert (code, told, said[-1]) == (1, "", full_disk(disk / "out"))
    assert [path for path in disk.rglob("*") if path.is_file()] == [disk / "ballast"]


def read_only(out: Path) -> str:
    return f"error: cannot write to the store {out}: Read-only file system; choose another folder"


def make_read_only(disk: Path) -> None:
    options = ["mount", "-o", "remount,ro", str(disk)]
    if subprocess.run(options, capture_output=True, check=False).returncode != 0:
        pytest.skip("this system remounts nothing")


@EXECUTORS
def test_a_read_only_store_is_a_mistake_of_the_request(
    executor: list[str],
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = disk / "out"
    arguments = [*TINY, *executor, "--out", str(out)]
    # The plan is there already, so the first thing that cannot be written is a record.
    code, _, said = call([*arguments, "--executor", "inline"], monkeypatch, capsys)
    assert code == 0, said
    make_read_only(disk)
    # Nothing is due, and nothing is written.
    code, _, said = call(arguments, monkeypatch, capsys)
    assert (code, said) == (0, [])
    code, told, said = call([*arguments, "--force"], monkeypatch, capsys)
    assert (code, told, said[-1]) == (2, "", read_only(out))
    # Here the plan is the first.
    elsewhere = disk / "elsewhere"
    code, told, said = call([*TINY, *executor, "--out", str(elsewhere)], monkeypatch, capsys)
    assert (code, told, said[-1]) == (2, "", read_only(elsewhere))
    assert Store(out).scan().problems == ()
    assert len(Store(out).scan().records) == NUM_CELLS
