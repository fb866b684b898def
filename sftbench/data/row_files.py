"""Rows of one split on the disk: files that several processes fill and read at once, row by row.

An entry of the cache holds `rows.json` (what a row is), `rows.bin` (row i at i times its bytes, a
hole where it is not there yet) and `index.bin` (a checksum for each row, 0 where it is not there).
A row is written before its checksum, and compared with it when it is read: whatever a crash, a full
disk or another hand left counts as not there. A lock of the system on byte i of the index says who
computes row i; it ends with its process.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sftbench.errors import CacheError, RecordError
from sftbench.files import read_plain, validated, write_json

ROWS: Final = "rows.bin"
INDEX: Final = "index.bin"
GROWING: Final = (ROWS, INDEX)
_FORM: Final = "rows.json"
_FORM_MAX_BYTES: Final = 1 << 16
_PIECE_BYTES: Final = 64 << 20
_WIDTHS: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
_Size = Annotated[int, Field(ge=1, le=1 << 40)]
_Ints = NDArray[np.int64]
_Bytes = NDArray[np.uint8]


class RowForm(BaseModel):
    """What the rows are: of which type and shape, and how many there can be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Literal[1] = 1
    dtype: Literal["float32", "bfloat16", "float16"]
    shape: Annotated[tuple[_Size, ...], Field(max_length=8)]
    num_rows: _Size

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return _WIDTHS[self.dtype] * math.prod(self.shape)


def make_rows(folder: Path, form: RowForm) -> None:
    """Write the files of an entry without any row: they take no room on the disk yet."""
    write_json(folder / _FORM, form, _FORM_MAX_BYTES)
    for name, size in ((ROWS, form.row_bytes), (INDEX, 4)):
        (folder / name).unlink(missing_ok=True)  # a broken-off attempt may have left it
        with (folder / name).open("xb") as file:
            file.truncate(size * form.num_rows)


def read_form(folder: Path) -> RowForm:
    """Return what the rows of an entry are.

    Raises:
        RecordError: Its header is missing or says nothing of the kind.
    """
    return validated(RowForm, read_plain(folder / _FORM, _FORM_MAX_BYTES))


class RowFile:
    """The rows of an entry, open. Not for two threads.

    Args:
        folder: Of the entry; its bytes may be anybody's.

    Attributes:
        form: What the rows are.
        is_writable: Whether rows can be added; else nobody is asked who computes what.
        has_grown: Whether this process added rows.

    Raises:
        RecordError: These are no such files.
    """

    def __init__(self, folder: Path) -> None:
        self.form = read_form(folder)
        self.is_writable = True
        self.has_grown = False
        self._rows = self._open(folder / ROWS, self.form.row_bytes)
        try:
            self._index = self._open(folder / INDEX, 4)
        except RecordError:
            os.close(self._rows)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the locks of this process end with it."""
        os.close(self._rows)
        os.close(self._index)

    @property
    def disk_bytes(self) -> int:
        """Bytes that the rows take on the disk so far."""
        return os.fstat(self._rows).st_blocks * 512

    def read(self, indices: _Ints, into: _Bytes) -> NDArray[np.bool_]:
        """Read the rows that are there and whole.

        Args:
            indices: int64 [n], ascending.
            into: uint8 [n, row bytes]; what it holds of other rows is arbitrary.

        Returns:
            bool [n], which rows were read.
        """
        marks = self._marks(indices)
        found = np.flatnonzero(marks)
        most = max(1, _PIECE_BYTES // self.form.row_bytes)
        for start, stop in _runs(indices[found], most):
            first = int(indices[found[start]]) * self.form.row_bytes
            # What was found side by side may have gaps between in `into`.
            buffers = [memoryview(into[at]) for at in found[start:stop]]
            for piece in range(0, len(buffers), 512):  # the system takes 1024 at a time
                with _told():
                    os.preadv(
                        self._rows,
                        buffers[piece : piece + 512],
                        first + piece * self.form.row_bytes,
                    )
        whole = np.zeros(len(indices), dtype=np.bool_)
        for at in found:
            whole[at] = _checksum(into[at], int(indices[at])) == marks[at]
        return whole

    def write(self, indices: _Ints, rows: _Bytes) -> None:
        """Add rows uint8 [n, row bytes] of indices int64 [n], ascending.

        Raises:
            CacheError: The disk is full, say; rows that are not whole count as not there.
        """
        self.has_grown = True
        marks = np.array(
            [_checksum(row, int(index)) for row, index in zip(rows, indices, strict=True)],
            dtype="<u4",
        )
        most = max(1, _PIECE_BYTES // self.form.row_bytes)
        for file, width, values in (
            (self._rows, self.form.row_bytes, rows),
            (self._index, 4, marks.view(np.uint8).reshape(-1, 4)),
        ):
            for start, stop in _runs(indices, most):
                piece = np.ascontiguousarray(values[start:stop])
                with _told():
                    num = os.pwrite(file, piece.data, int(indices[start]) * width)
                if num != piece.nbytes:
                    raise CacheError(os.strerror(errno.ENOSPC))

    def claim(self, indices: _Ints, most: int) -> tuple[_Ints, _Ints, _Ints]:
        """Take up to `most` rows for this process to compute.

        Args:
            indices: int64 [n], ascending.
            most: How many at most.

        Returns:
            Those that are this process's now, those that others have, and those not looked at.
        """
        if not self.is_writable:
            return indices[:most], indices[:0], indices[most:]
        mine: list[_Ints] = []
        taken: list[_Ints] = []
        count, seen = 0, 0
        for start, stop in _runs(indices, most):
            if count == most:
                break
            seen = min(stop, start + most - count)
            if self._lock(indices[start:seen], wait=False):
                mine.append(indices[start:seen])
                count += seen - start
            else:
                seen = stop
                taken.append(indices[start:stop])
        none = [indices[:0]]
        return np.concatenate(none + mine), np.concatenate(none + taken), indices[seen:]

    def release(self, indices: _Ints) -> None:
        """Give back rows int64 [n], ascending, that `claim` gave."""
        if self.is_writable:
            for start, stop in _runs(indices, len(indices)):
                with _told():
                    fcntl.lockf(self._index, fcntl.LOCK_UN, stop - start, int(indices[start]))

    def wait(self, indices: _Ints) -> None:
        """Return once nobody else computes one of the first rows that stand together.

        Args:
            indices: int64 [n], ascending; n >= 1.
        """
        start, stop = next(_runs(indices, len(indices)))
        run = indices[start:stop]
        self._lock(run, wait=True)
        self.release(run)

    def _lock(self, run: _Ints, *, wait: bool) -> bool:
        how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        with _told():
            try:
                fcntl.lockf(self._index, how, len(run), int(run[0]))
            except (BlockingIOError, PermissionError):  # somebody else has it
                return False
        return True

    def _marks(self, indices: _Ints) -> NDArray[np.uint32]:
        """Return the checksums uint32 [n] of indices int64 [n], ascending."""
        if len(indices) == 0:
            return np.zeros(0, dtype=np.uint32)
        first, last = int(indices[0]), int(indices[-1])
        with _told():
            content = os.pread(self._index, 4 * (last - first + 1), 4 * first)
        content += b"\0" * (4 * (last - first + 1) - len(content))
        return np.frombuffer(content, dtype="<u4")[indices - first].astype(np.uint32)

    def _open(self, path: Path, width: int) -> int:
        flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            if not self.is_writable:
                raise PermissionError
            descriptor = os.open(path, os.O_RDWR | flags)
        except OSError:
            self.is_writable = False
            try:
                descriptor = os.open(path, os.O_RDONLY | flags)
            except OSError as error:
                raise RecordError(f"{path.name} cannot be opened: {error.strerror}") from None
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size != width * self.form.num_rows:
            os.close(descriptor)
            raise RecordError(f"{path.name} has not {self.form.num_rows:,} rows of {width:,} bytes")
        return descriptor


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the system refuses into a CacheError: other code raises an OSError too."""
    try:
        yield
    except OSError as error:
        raise CacheError(error.strerror or str(error)) from error


def _checksum(row: _Bytes, index: int) -> int:
    """Return a checksum from 1 on of a row at its place: another row's bytes are wrong there."""
    return zlib.crc32(row.data, index & 0xFFFFFFFF) or 1


def _runs(indices: _Ints, most: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of every stretch of consecutive indices, each of at most `most`."""
    borders = np.flatnonzero(np.diff(indices) != 1) + 1
    bounds = [0, *borders.tolist(), len(indices)]
    for start, stop in itertools.pairwise(bounds):
        for piece in range(start, stop, max(most, 1)):
            yield piece, min(piece + most, stop)
