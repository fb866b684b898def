"""What sftbench keeps outside of results: data, weights, and what is made of them. One folder.

An entry is a folder `SECTION/KEY` with a manifest of its files. It appears whole or not at all, is
filled once however many processes want it, and is checked when it is read. Files that grow within
their size afterwards are the exception: whoever reads them checks them.

Environment:
    SFTBENCH_CACHE: The folder; unset: the user's cache folder (`~/.cache/sftbench` on Linux).
    SFTBENCH_CACHE_LIMIT: Most bytes of what can be made again (sections `arrays`, `features` and
        `probes`), as `20GB` or `500MiB`; unset: 20GB. The least recently used go first.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs
from filelock import FileLock, Timeout

from sftbench.errors import CacheError, RecordError, RequestError
from sftbench.files import make_folder, sync_folder
from sftbench.manifests import MANIFEST, check, describe, write_manifest
from sftbench.names import one_line, shown
from sftbench.sizes import parse_size

SECTIONS: Final = ("arrays", "data", "features", "pretrained", "probes", "weights")
# What may go when the cache is full: it is made again.
REMADE: Final = ("arrays", "features", "probes")
_DEFAULT_LIMIT: Final = 20_000_000_000
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,150}")
_log = logging.getLogger(__name__)
_checked: set[tuple[Path, int]] = set()
_told_full: set[Path] = set()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the cache.

    Attributes:
        section: One of `SECTIONS`.
        key: Its name in the section.
        path: Its folder.
        size: Bytes of its files; of those that grow, what they take so far.
        used: When it was last asked for, in seconds of the epoch.
        note: A line about it.
    """

    section: str
    key: str
    path: Path
    size: int
    used: float
    note: str


def cache_root() -> Path:
    """Return the folder of the cache; it need not exist."""
    given = os.environ.get("SFTBENCH_CACHE")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("sftbench")


def find(section: str, key: str) -> Path | None:
    """Return the folder of a whole entry, or None; a damaged one is said and counts as none.

    The bytes are compared with the manifest once in each process, the sizes every time; those of
    files that grow are not.
    """
    path = _place(section, key)
    if not path.is_dir():
        return None
    try:
        _check(path)
    except FileNotFoundError:  # it was removed meanwhile
        return None
    except RecordError as error:
        _log.warning("cache entry %s is damaged (%s); it is left aside", path, error)
        return None
    with contextlib.suppress(OSError):  # the cache may be another's, for reading alone
        os.utime(path / MANIFEST)
    return path


def problem(section: str, key: str) -> str | None:
    """Say how the bytes of an entry differ from its manifest; None: not at all, or it has none."""
    path = _place(section, key)
    if not (path / MANIFEST).exists():
        return None
    try:
        _check(path)
    except RecordError as error:
        return str(error)
    return None


def fill(
    section: str,
    key: str,
    build: Callable[[Path], str],
    *,
    replace: bool = False,
    growing: Collection[str] = (),
) -> Path:
    """Return the folder of an entry; where it is missing or damaged, build it.

    Args:
        section: One of `SECTIONS`.
        key: Letters, digits and `._=+-`.
        build: Writes the files into the folder it is given and returns a line about them. The
            folder may hold what an earlier, broken-off call left: a download can go on.
        replace: Build it anew where it is there; the old one stays until the new one is whole.
        growing: Files whose bytes will change after this, but not their size.

    Raises:
        CacheError: The cache cannot be written.
        Exception: What `build` raises; the entry is then missing as before.
    """
    found = None if replace else find(section, key)
    if found is not None:
        return found
    with locked(section, key) as place:
        found = None if replace else find(section, key)  # another process was quicker
        if found is not None:
            return found
        partial = place.with_name(f".{key}.partial")
        with _told(partial):
            make_folder(partial)
            note = build(partial)
        with _told(partial):
            write_manifest(partial, note, growing)
            if place.exists():
                shutil.rmtree(place)
            partial.rename(place)
            sync_folder(place.parent)
        _checked.add(_identity(place))
    if section in REMADE:
        make_room(keep=place)
    return place


@contextmanager
def locked(section: str, key: str) -> Iterator[Path]:
    """Hold an entry for this process alone; yields its folder, which need not exist.

    Who waits says so. The lock of a process that ends in any way is free at once.
    """
    place = _place(section, key)
    lock = FileLock(place.with_name(f".{key}.lock"))
    with _told():
        make_folder(place.parent)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            _log.warning("waiting for another process that makes %s", place)
            lock.acquire()
    try:
        yield place
    finally:
        lock.release()


@contextmanager
def _told(partial: Path | None = None) -> Iterator[None]:
    """Turn what the system refuses into one line; an empty folder is not left behind."""
    try:
        yield
    except BaseException as error:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.rmdir()
        if isinstance(error, OSError) and _is_ours(error):
            why = error.strerror or one_line(str(error))
            raise CacheError(
                f"the cache {cache_root()} cannot be written ({why}); make room there, or name "
                "another folder in SFTBENCH_CACHE"
            ) from error
        raise


def _is_ours(error: OSError) -> bool:
    """Tell whether the cache's place or disk is to blame, and not what is put into it."""
    here = str(cache_root())
    return error.errno in _FULL or str(error.filename or "").startswith(here)


def entries(*sections: str) -> list[Entry]:
    """Return the entries of some sections (all, where none is named) by section and key."""
    found: list[Entry] = []
    for section in sections or SECTIONS:
        folder = cache_root() / section
        found.extend(
            Entry(section, path.name, path, *describe(path))
            for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if _KEY.fullmatch(path.name) and path.is_dir()
        )
    return found


def broken_off(*sections: str) -> list[tuple[str, str]]:
    """Return section and key of what a `fill` that was killed, or may go on, has left."""
    found = []
    for section in sections or SECTIONS:
        folder = cache_root() / section
        for path in sorted(folder.glob(".*.partial")) if folder.is_dir() else []:
            key = path.name.removeprefix(".").removesuffix(".partial")
            if _KEY.fullmatch(key):
                found.append((section, key))
    return found


def remove(section: str, key: str) -> bool:
    """Remove an entry and what a broken-off `fill` of it left; tell whether there was one."""
    with locked(section, key) as place:
        partial = place.with_name(f".{key}.partial")
        there = [path for path in (place, partial) if path.exists()]
        for path in there:
            shutil.rmtree(path)
    # The lock's file stays: another process may wait for it.
    return bool(there)


def limit_bytes() -> int:
    """Return the most bytes that `REMADE` sections may have.

    Raises:
        RequestError: SFTBENCH_CACHE_LIMIT is no size.
    """
    given = os.environ.get("SFTBENCH_CACHE_LIMIT")
    try:
        return parse_size(given) if given else _DEFAULT_LIMIT
    except RequestError as error:
        raise RequestError(f"SFTBENCH_CACHE_LIMIT: {error}") from None


def make_room(keep: Path) -> None:
    """Remove the least recently used of what is made again, until the limit holds.

    What this process has used stays: a run would else remove the one half of its own data for the
    other, and make both again and again.

    Args:
        keep: An entry that stays, however large: the one that is being made.
    """
    kept = sorted(entries(*REMADE), key=lambda entry: entry.used)
    total = sum(entry.size for entry in kept)
    mine = {path for path, _ in _checked} | {keep}
    for entry in kept:
        if total <= limit_bytes():
            return
        if entry.path not in mine:
            _log.info("the cache is full: %s/%s is removed", entry.section, entry.key)
            # Who has it mapped keeps it until he lets go.
            remove(entry.section, entry.key)
            total -= entry.size
    if total > limit_bytes() and keep not in _told_full:
        _told_full.add(keep)
        _log.warning(
            "the cache has %.1f GB, more than SFTBENCH_CACHE_LIMIT, and this run uses all of it",
            total / 1e9,
        )


def _place(section: str, key: str) -> Path:
    if section not in SECTIONS:
        raise ValueError(f"the cache has no section {section!r}")
    if _KEY.fullmatch(key) is None or ".." in key:
        raise RequestError(f"cache entry {shown(key)} is no valid name (letters, digits, ._=+-)")
    return cache_root() / section / key


def _check(path: Path) -> None:
    """Compare an entry with its manifest; its bytes once in each process.

    Raises:
        RecordError: A file is missing, too many, or has other bytes.
    """
    identity = _identity(path)
    check(path, bytes_too=identity not in _checked)
    _checked.add(identity)


def _identity(path: Path) -> tuple[Path, int]:
    return path, path.stat().st_ino
