"""Where frozen features are kept on the disk: the section `features` of the cache."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sftbench import cache
from sftbench.data.row_files import GROWING, RowFile, RowForm, make_rows, read_form
from sftbench.errors import CacheError, RecordError
from sftbench.names import one_line

_SECTION: Final = "features"
_NO_DISK: Final = (CacheError, OSError, RecordError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """The name of an entry, and a line about it for people."""

    key: str
    title: str


class FeatureDisk:
    """The rows of every prefix that are on the disk. What it cannot do is said once."""

    def __init__(self) -> None:
        self._is_usable = True
        self._full_for: set[str] = set()

    def form(self, kept: Kept, num_rows: int) -> RowForm | None:
        """Return what the rows of an entry are, as its checked header says; None: it is not there.

        Args:
            kept: Which.
            num_rows: Of the split; an entry of another number counts as not there.
        """
        try:
            folder = cache.find(_SECTION, kept.key) if self._is_usable else None
            found = None if folder is None else read_form(folder)
        except _NO_DISK:
            return None
        return found if found is not None and found.num_rows == num_rows else None

    @contextmanager
    def open(self, kept: Kept, form: RowForm, num_missing: int) -> Iterator[RowFile | None]:
        """Open an entry, made where it is missing; None where that cannot be.

        A CacheError inside is said and ends there: the caller goes on without the disk.

        Args:
            kept: Which.
            form: Of its rows.
            num_missing: How many rows may be added.
        """
        try:
            file = self._opened(kept, form) if self._is_usable else None
        except _NO_DISK as error:
            self._failed(error)
            file = None
        if file is None:
            yield None
            return
        with file:
            if file.disk_bytes + num_missing * form.row_bytes > cache.limit_bytes():
                self._say_too_large(kept)
                file.is_writable = False
            try:
                yield file
            except CacheError as error:  # the disk is full, say: what is held is held
                self._failed(error)
            if file.has_grown:
                self._make_room(kept)

    def _make_room(self, kept: Kept) -> None:
        """Remove what was not used for long, where an entry has grown."""
        try:
            cache.make_room(keep=cache.cache_root() / _SECTION / kept.key)
        except _NO_DISK as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Do without the disk from now on, and say so."""
        if self._is_usable:
            self._is_usable = False
            _log.warning(
                "the cache %s cannot keep features (%s); they are kept in memory alone",
                cache.cache_root(),
                one_line(str(error)),
            )

    def _opened(self, kept: Kept, form: RowForm) -> RowFile:
        def build(folder: Path) -> str:
            make_rows(folder, form)
            return kept.title

        folder = cache.fill(_SECTION, kept.key, build, growing=GROWING)
        try:
            file = RowFile(folder)
        except RecordError as error:
            _log.warning("cache entry %s is damaged (%s); it is made anew", folder, error)
        else:
            if file.form == form:
                return file
            file.close()
            _log.warning("cache entry %s has rows of another form; it is made anew", folder)
        return RowFile(cache.fill(_SECTION, kept.key, build, growing=GROWING, replace=True))

    def _say_too_large(self, kept: Kept) -> None:
        if kept.key not in self._full_for:
            self._full_for.add(kept.key)
            _log.warning(
                "features of %s would take more than SFTBENCH_CACHE_LIMIT; they are kept in "
                "memory alone",
                kept.title,
            )
