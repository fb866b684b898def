"""Archives of somebody else: only plain files, only below the folder, only so many bytes.

Links, devices and the like are passed over; a name that climbs out ends the unpacking.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from sftbench.errors import UnavailableError
from sftbench.names import shown

_CHUNK: Final = 1 << 20
_MOST_GROWTH: Final = 100  # an archive of images grows little, one of drawn digits tenfold
_LEAST_LIMIT: Final = 64 << 20
_MOST_MEMBERS: Final = 5_000_000
_DAMAGED: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,  # a method of compression that Python does not know
    RuntimeError,  # an encrypted member
)


class Readable(Protocol):
    """What gives its bytes piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file of an archive; `stream` can be read until the next member is asked for."""

    name: str
    stream: Readable


def unpack(archive: Path, folder: Path) -> None:
    """Unpack `.tar`, `.tar.gz`, `.tgz`, `.zip` or a single `.gz` into a folder.

    Args:
        archive: By its name's ending.
        folder: Is made where it is missing; files there are replaced.

    Raises:
        UnavailableError: It is damaged, of another kind, would climb out of the folder, or grows
            beyond all measure. What was unpacked until then stays.
    """
    left = max(_LEAST_LIMIT, archive.stat().st_size * _MOST_GROWTH)
    for member in _members_or_one(archive):
        target = folder / _safe(archive, member.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out, reading(archive):
            while chunk := member.stream.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise UnavailableError(
                        f"{archive}: grows to more than {_MOST_GROWTH} times its size; not unpacked"
                    )
                out.write(chunk)


def members(archive: Path) -> Iterator[Member]:
    """Yield the plain files of a tar or zip archive, one after another.

    Raises:
        UnavailableError: It is damaged, or has too many.
    """
    with ExitStack() as stack:
        with reading(archive):
            found = _zip(archive, stack) if archive.suffix == ".zip" else _tar(archive, stack)
        for _ in range(_MOST_MEMBERS):
            with reading(archive):
                member = next(found, None)
            if member is None:
                return
            yield member
        raise UnavailableError(f"{archive}: more than {_MOST_MEMBERS:,} members")


def _members_or_one(archive: Path) -> Iterator[Member]:
    if archive.suffix != ".gz" or archive.name.endswith(".tar.gz"):
        yield from members(archive)
        return
    with gzip.open(archive, "rb") as stream:
        yield Member(archive.stem, stream)


def _tar(archive: Path, stack: ExitStack) -> Iterator[Member]:
    opened = stack.enter_context(tarfile.open(archive, "r:*"))  # noqa: SIM115 - the stack closes it
    for info in opened:
        stream = opened.extractfile(info) if info.isreg() else None
        if stream is not None:
            yield Member(info.name, stream)


def _zip(archive: Path, stack: ExitStack) -> Iterator[Member]:
    opened = stack.enter_context(zipfile.ZipFile(archive))
    for info in opened.infolist():
        if not info.is_dir():
            with opened.open(info) as stream:
                yield Member(info.filename, stream)


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return a member's name as a path below the folder.

    Raises:
        UnavailableError: It is none.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise UnavailableError(f"{archive}: member {shown(name)} leads out of the folder")
    return path


@contextmanager
def reading(archive: Path) -> Iterator[None]:
    """Turn what the readers of archives raise into one line."""
    try:
        yield
    except _DAMAGED:
        raise UnavailableError(f"{archive}: not a whole archive; get it again") from None
    except OSError as error:
        if error.errno is not None:
            raise UnavailableError(f"{archive}: {error.strerror}; while unpacking it") from None
        raise UnavailableError(f"{archive}: not a whole archive; get it again") from None


def copy_tree(source: Path, target: Path, above: tuple[Path, ...] = ()) -> None:
    """Copy a file or folder; links are followed, what is neither is passed over.

    Args:
        source: What is copied.
        target: Where to.
        above: The folders that `source` is in; a link back to one of them is passed over.
    """
    if source.is_dir():
        real = source.resolve()
        if real in above:
            return
        target.mkdir(parents=True, exist_ok=True)
        for entry in sorted(source.iterdir()):
            copy_tree(entry, target / entry.name, (*above, real))
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
