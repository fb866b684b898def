"""Many writers, killed writers and full disks: every record is whole, or is not there."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import store_writers
from support.records import make_cell, make_outputs, make_record
from support.store_writers import write_attempts

from sftbench.plan import Plan
from sftbench.records import HistoryRow, Record
from sftbench.store import Store


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_two_processes_writing_one_cell_never_share_an_attempt(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, numbers = spawn.Barrier(2), spawn.Queue()
    writers = [
        spawn.Process(target=write_attempts, args=(tmp_path, 20, seed, start, numbers))
        for seed in (100, 200)
    ]
    for writer in writers:
        writer.start()
    written = [numbers.get(timeout=60) for _ in range(40)]
    for writer in writers:
        writer.join()

    assert len(set(written)) == 40
    cell_id = make_cell().cell_id
    scan = Store(tmp_path).scan()
    assert scan.problems == ()
    assert scan.attempts == {cell_id: 40}
    assert scan.records[cell_id].attempt == max(written)
    expected = {
        f"cells/{cell_id}/attempt-{n}.{kind}" for n in written for kind in ("json", "parquet")
    }
    assert files(tmp_path) == expected


def run_writers(how: str, out: Path) -> str:
    done = subprocess.run(
        [sys.executable, store_writers.__file__, how, str(out)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=120,
    )
    return done.stdout


def test_a_writer_killed_by_chance_leaves_whole_records_only(tmp_path: Path) -> None:
    acknowledged = [
        line.split() for line in run_writers("by-chance", tmp_path / "out").splitlines()
    ]
    assert len(acknowledged) > 15, "the writers were killed before they wrote"

    store = Store(tmp_path / "out")
    scan = store.scan()
    assert scan.problems == ()
    for cell_id, attempt, checksum in acknowledged:
        text = (tmp_path / f"out/cells/{cell_id}/attempt-{attempt}.json").read_text()
        assert f'"checksum": "{checksum}"' in text
    for cell_id, record in scan.records.items():
        numbers = [int(attempt) for cell, attempt, _ in acknowledged if cell == cell_id]
        assert record.attempt >= max(numbers)
        assert scan.attempts[cell_id] >= len(numbers)
        assert len(store.predictions(record)["test", "selected"].index) == 200


def test_a_writer_killed_at_any_line_leaves_a_whole_record_or_none(tmp_path: Path) -> None:
    """Each line before the record's rename leaves none; each after it, a whole one."""
    last, status = map(int, run_writers("at-every-line", tmp_path).split())
    assert status == 0
    found = []
    for line in range(1, last + 1):
        store = Store(tmp_path / str(line))
        scan = store.scan()
        assert scan.problems == ()
        records = list(scan.records.values())
        assert all(len(store.predictions(record)) == 4 for record in records)
        found.append(len(records))
    assert found == sorted(found)
    assert found.count(0) > 40
    assert found.count(1) > 3


def test_a_number_used_since_the_folder_was_listed_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes a whole attempt just before this one reserves its number."""
    touch, others = Path.touch, []

    def other_first(path: Path, **options: bool) -> None:
        monkeypatch.undo()
        others.append(Store(tmp_path).write(make_record(), make_outputs()))
        touch(path, **options)

    monkeypatch.setattr(Path, "touch", other_first)
    record = Store(tmp_path).write(make_record(status="failed"))

    assert (others[0].attempt, record.attempt) == (1, 2)
    assert len(Store(tmp_path).predictions(others[0])) == 4
    assert Store(tmp_path).scan().problems == ()
    assert all(not name.rpartition("/")[2].startswith(".") for name in files(tmp_path))


def test_a_reservation_left_behind_only_costs_its_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.write(make_record(status="failed"))
    folder = tmp_path / "cells" / first.cell_id
    (folder / ".attempt-2.reserved").touch()
    (folder / ".attempt-3.json.0123456789abcdef.tmp").write_text('{"half')

    assert store.write(make_record(status="failed")).attempt == 3
    assert store.scan().problems == ()


def test_an_orphan_table_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / make_cell().cell_id
    folder.mkdir(parents=True)
    (folder / "attempt-1.parquet").write_bytes(b"left by a killed writer")

    record = Store(tmp_path).write(make_record(), make_outputs())

    assert record.attempt == 2
    assert (folder / "attempt-1.parquet").read_bytes() == b"left by a killed writer"
    assert Store(tmp_path).scan().problems == ()


def long_record() -> Record:
    row = HistoryRow(stage="train", epoch=1, step=1, train_loss=0.5, rate=0.1)
    return make_record(history=(row,) * 400)  # over 50 KB of JSON; its table takes under 10


@pytest.fixture
def limited_files() -> Iterator[Callable[[int], None]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 1_000, 2_000, 5_000, 20_000])
def test_a_file_that_cannot_grow_leaves_nothing(tmp_path: Path, size, limited_files) -> None:
    store = Store(tmp_path)
    limited_files(size)
    with pytest.raises(OSError, match="File too large"):
        store.write(long_record(), make_outputs())
    limited_files(resource.RLIM_INFINITY)

    assert files(tmp_path) == set()
    assert store.write(long_record(), make_outputs()).attempt == 1
    assert store.scan().problems == ()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("a full disk needs the right to mount one")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_leaves_a_whole_record_or_none(small_disk: Path) -> None:
    """The free space grows page by page, so the disk fills up at each step of a write once."""
    store = Store(small_disk / "out")
    store.write(make_record(status="failed"))
    ballast = small_disk / "ballast"
    full = []
    for pages in range(40):
        fill(ballast)
        os.truncate(ballast, max(0, ballast.stat().st_size - 4096 * pages))
        before = files(small_disk)
        try:
            written = store.write(long_record(), make_outputs())
        except OSError as error:
            full.append(error.errno)
            assert files(small_disk) == before
        else:
            folder = f"out/cells/{written.cell_id}/attempt-{written.attempt}"
            assert files(small_disk) == before | {f"{folder}.json", f"{folder}.parquet"}
            break
        ballast.unlink()
    else:
        pytest.fail("no write succeeded")

    assert len(full) > 5
    assert set(full) == {errno.ENOSPC}
    assert store.scan().problems == ()
    assert store.scan().records[written.cell_id] == written


def test_a_plan_that_does_not_fit_leaves_nothing(tmp_path: Path, limited_files) -> None:
    limited_files(100)
    with pytest.raises(OSError, match="File too large"):
        Store(tmp_path).add_plan(Plan(cells=(make_cell(),)))
    limited_files(resource.RLIM_INFINITY)
    assert files(tmp_path) == set()
