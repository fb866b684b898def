"""Rows on the disk: what was written whole is read, and nothing else; one process computes each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sftbench.data.row_files import INDEX, ROWS, RowFile, RowForm, make_rows
from sftbench.errors import CacheError, RecordError

ROOT = Path(__file__).parent.parent.parent
FORM = RowForm(dtype="float32", shape=(5,), num_rows=100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_rows(tmp_path, FORM)
    return tmp_path


@pytest.fixture
def file(folder: Path) -> Iterator[RowFile]:
    with RowFile(folder) as opened:
        yield opened


def some(*indices: int) -> np.ndarray:
    return np.array(indices, dtype=np.int64)


def rows_of(indices: np.ndarray) -> np.ndarray:
    """Return rows that tell their index, as bytes."""
    return np.repeat(indices.astype("<f4")[:, None], 5, axis=1).view(np.uint8)


def read(file: RowFile, indices: np.ndarray) -> tuple[list[bool], np.ndarray]:
    into = np.full((len(indices), FORM.row_bytes), 0xAA, dtype=np.uint8)
    found = file.read(indices, into)
    return found.tolist(), into.view("<f4")


def test_what_was_written_is_read_in_another_order_of_calls(file: RowFile, folder: Path) -> None:
    file.write(some(3, 4, 5, 40), rows_of(some(3, 4, 5, 40)))
    file.write(some(0, 99), rows_of(some(0, 99)))
    with RowFile(folder) as other:
        found, values = read(other, some(0, 1, 4, 5, 40, 98, 99))
    assert found == [True, False, True, True, True, False, True]
    assert values[:, 0][np.array(found)].tolist() == [0, 4, 5, 40, 99]


def test_rows_that_are_not_there_take_no_room(tmp_path: Path) -> None:
    large = RowForm(dtype="bfloat16", shape=(1280,), num_rows=60_000)
    assert large.row_bytes == 2560
    make_rows(tmp_path, large)
    with RowFile(tmp_path) as file:
        assert file.disk_bytes == 0
        file.write(some(50_000), np.ones((1, 2560), dtype=np.uint8))
        assert 0 < file.disk_bytes < 100_000


@pytest.mark.parametrize("harm", ["bit", "row lost", "moved", "checksum", "rows cut off"])
def test_a_damaged_row_counts_as_not_there(folder: Path, harm: str) -> None:
    every = np.arange(100)
    with RowFile(folder) as file:
        file.write(every, rows_of(every))
        content = bytearray((folder / ROWS).read_bytes())
        if harm == "bit":
            content[7 * 20 + 3] ^= 1
        elif harm == "row lost":  # the power went after its checksum was on the disk
            content[7 * 20 : 8 * 20] = bytes(20)
        elif harm == "moved":
            content[7 * 20 : 8 * 20] = content[8 * 20 : 9 * 20]
        elif harm == "rows cut off":
            content[7 * 20 :] = b""
        else:
            with (folder / INDEX).open("r+b") as index:
                index.seek(7 * 4)
                index.write(b"\1\2\3\4")
        (folder / ROWS).write_bytes(content)
        found, values = read(file, every)
    if harm == "rows cut off":
        assert found == [True] * 7 + [False] * 93
        return
    assert found == [True] * 7 + [False] + [True] * 92
    assert values[8].tolist() == [8.0] * 5


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("size", "rows.bin has not 100 rows of 20 bytes"),
        ("link", "index.bin cannot be opened"),
        ("pipe", "index.bin has not 100 rows"),
        ("missing", "rows.bin cannot be opened"),
        ("form", "shape.0: Input should be greater than or equal to 1"),
        ("huge", "rows.bin has not 1,099,511,627,776 rows"),
        ("type", "dtype: Input should be 'float32'"),
        ("later", "layout: Input should be 1"),
    ],
)
def test_files_of_another_form_are_refused(folder: Path, harm: str, says: str) -> None:
    form = folder / "rows.json"
    if harm == "size":
        os.truncate(folder / ROWS, 1999)
    elif harm in {"link", "pipe"}:
        (folder / INDEX).unlink()
        (folder / INDEX).symlink_to("/etc/hostname") if harm == "link" else os.mkfifo(
            folder / INDEX
        )
    elif harm == "missing":
        (folder / ROWS).unlink()
    elif harm == "form":
        form.write_text(form.read_text().replace("5", "-5"))
    elif harm == "huge":
        form.write_text(form.read_text().replace("100", str(1 << 40)))
    elif harm == "type":
        form.write_text(form.read_text().replace("float32", "object"))
    else:
        form.write_text(form.read_text().replace('"layout": 1', '"layout": 2'))
    with pytest.raises(RecordError, match=says):
        RowFile(folder)


def test_whoever_may_only_read_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RowFile(folder) as file:
        file.write(some(2), rows_of(some(2)))
    opened = os.open

    def refuse(path: Path, flags: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    with RowFile(folder) as file:
        assert not file.is_writable
        assert read(file, some(2, 3))[0] == [True, False]
        mine, others, rest = file.claim(np.arange(10), 4)
        assert (len(mine), len(others), len(rest)) == (4, 0, 6)


def test_a_full_disk_is_told(file: RowFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda _file, _content, _place: 3)
    with pytest.raises(CacheError, match="No space left on device"):
        file.write(some(1), rows_of(some(1)))
    monkeypatch.undo()
    assert read(file, some(1))[0] == [False]


CLAIM = (
    "import sys; from pathlib import Path; import numpy as np; "
    "from sftbench.data.row_files import RowFile; "
    "file = RowFile(Path(sys.argv[1])); "
    "mine = file.claim(np.array([2, 3, 4, 9, 10]), 4)[0]; "
    "print(mine.tolist(), flush=True); sys.stdin.read()"
)


def test_what_another_process_computes_is_left_to_it_until_it_dies(
    file: RowFile, folder: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "[2, 3, 4, 9]\n"
        mine, taken, rest = file.claim(np.arange(20), 8)
        assert len(mine) + len(taken) + len(rest) == 20
        assert not set(mine.tolist()) & {2, 3, 4, 9}
        file.release(mine)
        mine, taken, rest = file.claim(some(0, 2, 4, 9, 10, 12, 15), 3)
        assert (mine.tolist(), taken.tolist(), rest.tolist()) == ([0, 12, 15], [2, 4, 9, 10], [])
        file.release(mine)
        other.kill()
    file.wait(some(2))
    mine, taken, _ = file.claim(some(2, 3, 4, 9), 8)
    assert (mine.tolist(), taken.tolist()) == ([2, 3, 4, 9], [])
