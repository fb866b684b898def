"""How a published set lies on a disk, where it is looked for, and where it is fetched from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sftbench import cache
from sftbench.api import Examples, Split


@dataclass(frozen=True, slots=True)
class Files:
    """The examples of one split as image files.

    Attributes:
        paths: One for each example.
        targets: int64 [N] class indices.
    """

    paths: list[Path]
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Download:
    """One file of the publisher.

    Attributes:
        url: Where it is.
        md5: As torchvision has it; None: torchvision has none.
        into: Folder below the data set's own that it is unpacked to or stands in.
        unpack: Whether it is an archive.
        then: Archives in the archive, as a pattern below `into`; they are unpacked there too.
    """

    url: str
    md5: str | None
    into: str = ""
    unpack: bool = True
    then: str = ""

    @property
    def file_name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A set as torchvision lays it out below a folder.

    Attributes:
        marks: Files and folders that are there exactly when the data is.
        class_names: Gives the names of the classes, in the order of the targets.
        read: Gives the examples of a split.
        downloads: What is fetched; none: it must be brought by hand.
        by_hand: Where `downloads` is empty: why, and what to get.
        md5: Of files below the folder that are checked before they are read.
    """

    marks: tuple[str, ...]
    class_names: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, Split], Examples | Files]
    downloads: tuple[Download, ...] = ()
    by_hand: str = ""
    md5: Mapping[str, str] = field(default_factory=dict)

    def is_in(self, folder: Path) -> bool:
        """Tell whether the data is in a folder, by its marks."""
        return not self.missing_in(folder)

    def missing_in(self, folder: Path) -> list[str]:
        """Return the marks that a folder lacks."""
        try:
            return [mark for mark in self.marks if not (folder / mark).exists()]
        except OSError:  # a folder that may not be entered has nothing for us
            return list(self.marks)

    @property
    def tops(self) -> tuple[str, ...]:
        """The names right below the folder that hold the data."""
        return tuple(dict.fromkeys(mark.partition("/")[0] for mark in self.marks))


def roots() -> list[Path]:
    """Return where published data is looked for: SFTBENCH_DATA, ./data and the cache."""
    found = []
    for text in (os.environ.get("SFTBENCH_DATA"), "data"):
        with contextlib.suppress(RuntimeError):  # no home folder
            found += [Path(text).expanduser()] if text else []
    return [*found, cache.cache_root() / "data"]
