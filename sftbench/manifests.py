"""The manifest of an entry of the cache: which files it has, and whether they are still those.

A file may be one that grows within its size after the entry was made; whoever reads it checks it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from sftbench.errors import RecordError
from sftbench.files import read_plain, validated, write_json
from sftbench.names import one_line, shown
from sftbench.records import now

MANIFEST: Final = "entry.json"
_MAX_BYTES: Final = 128 << 20  # a set of 100,000 files takes some 20 MB
_BLOCK: Final = 512  # unit of st_blocks, whatever the file system's own is
_BROKEN_OFF = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")  # what `files.whole_file` leaves when killed


class FileNote(BaseModel):
    """Size in bytes and SHA-256 of one file of an entry; None: it grows within its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str | None


class Manifest(BaseModel):
    """What an entry holds: `files` by path below it, a line about it, and when it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, FileNote]
    note: str = ""
    made_at: str


def write_manifest(folder: Path, note: str, growing: Collection[str]) -> None:
    """Write the manifest of the files in a folder.

    Args:
        folder: Of the entry.
        note: A line about it.
        growing: Files whose bytes will change, but not their size.
    """
    files = {
        name: FileNote(size=path.stat().st_size, sha256=None if name in growing else _sha256(path))
        for name, path in _files(folder)
    }
    manifest = Manifest(files=files, note=one_line(note), made_at=now())
    write_json(folder / MANIFEST, manifest, _MAX_BYTES)


def check(folder: Path, *, bytes_too: bool) -> None:
    """Compare a folder with its manifest: names and sizes, and `bytes_too` of what is whole.

    Raises:
        RecordError: A file is missing, too many, or has other bytes.
    """
    manifest = _read(folder)
    files = dict(_files(folder))
    if files.keys() != manifest.files.keys():
        other = sorted(files.keys() ^ manifest.files.keys())
        raise RecordError(f"{shown(other[0])} is missing or does not belong there")
    for name, file in files.items():
        state = file.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_size != manifest.files[name].size:
            raise RecordError(f"{shown(name)} has another size")
    for name, note in manifest.files.items() if bytes_too else ():
        if note.sha256 is not None and _sha256(files[name]) != note.sha256:
            raise RecordError(f"{shown(name)} has other bytes")


def describe(folder: Path) -> tuple[int, float, str]:
    """Return bytes on the disk, time of the last use in seconds of the epoch, and the note."""
    try:
        manifest = _read(folder)
        used = (folder / MANIFEST).stat().st_mtime
    except (RecordError, OSError) as error:
        return sum(_size(file, None) for _, file in _files(folder)), 0.0, f"damaged: {error}"
    size = sum(_size(file, manifest.files.get(name)) for name, file in _files(folder))
    return size, used, manifest.note


def _size(file: Path, note: FileNote | None) -> int:
    """Return the bytes of a file; of one that grows, those that it has so far."""
    try:
        state = file.lstat()
    except FileNotFoundError:  # another process removes the entry
        return 0
    grows = note is not None and note.sha256 is None
    return min(state.st_size, state.st_blocks * _BLOCK) if grows else state.st_size


def _read(folder: Path) -> Manifest:
    return validated(Manifest, read_plain(folder / MANIFEST, _MAX_BYTES))


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below `path` but the manifest and broken-off ones, by its relative name."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            relative = file.relative_to(path).as_posix()
            if relative != MANIFEST and _BROKEN_OFF.fullmatch(name) is None:
                yield relative, file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
