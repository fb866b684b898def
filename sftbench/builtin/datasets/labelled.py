"""Labelled image files of a person, however they were listed: classes, a test split, decoding."""

from __future__ import annotations

import hashlib
import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from sftbench.api import Dataset, DatasetInfo, Examples, Split, UnavailableError
from sftbench.builtin.datasets.arrays import Notes, PathOptions, read_notes
from sftbench.builtin.datasets.decoding import DECODER_VERSION, decode_all
from sftbench.names import shown
from sftbench.seeding import derive

HELD_OUT_SHARE: Final = 0.2
HELD_OUT: Final = (
    f"{HELD_OUT_SHARE:.0%} of each class, at least one image of two, chosen by a hash of the "
    "names, are the test split"
)
_MAX_CLASS_NAME: Final = 200


@dataclass(slots=True)
class Part:
    """The files of one split.

    Attributes:
        files: Where they are.
        names: How messages and hashes name them, one for each file.
        labels: A class index for each file.
    """

    files: list[Path] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, file: Path, name: str, label: int) -> None:
        """Append one file."""
        self.files.append(file)
        self.names.append(name)
        self.labels.append(label)

    def load(self, image_size: int) -> Examples:
        """Decode what can be read to RGB uint8 [N, S, S, 3]."""
        images, kept, unreadable = decode_all(self.files, image_size, self.names)
        return Examples(images, np.array(self.labels, np.int64)[kept], unreadable=unreadable)

    def cache_key(self, image_size: int) -> str:
        """Return a hash of paths, sizes, times of change and labels, and of how files are read."""
        hasher = hashlib.sha256(f"{DECODER_VERSION} {image_size} {len(self.files)}\n".encode())
        for file, name, label in zip(self.files, self.names, self.labels, strict=True):
            try:
                state = file.stat()
                what = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
            except (OSError, ValueError):  # it is told when it is read
                what = "missing"
            line = f"{label} {what} {file.absolute()}\0{name}\n"
            hasher.update(line.encode(errors="surrogateescape"))
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class Listing:
    """Image files and their labels by split; `told` says whose test split it is."""

    class_names: tuple[str, ...]
    parts: Mapping[Split, Part]
    told: str


class LabelledFiles(Dataset):
    """A person's image files; a subclass says how they are listed."""

    options_model = PathOptions
    argument = "path"
    options: PathOptions

    @abstractmethod
    def listing(self) -> Listing:
        """List the files; no image is opened.

        Raises:
            UnavailableError: They are not there, or not as they should be.
        """

    @abstractmethod
    def notes_folder(self) -> Path:
        """Return the folder in which `dataset.json` may lie."""

    def info(self) -> DatasetInfo:
        """List and count the files; no image is opened.

        Raises:
            UnavailableError: They are not there, or not as they should be.
        """
        listing = self.listing()
        notes = read_notes(self.notes_folder(), Notes)
        return DatasetInfo(
            name=self.reference,
            class_names=listing.class_names,
            num_train=len(listing.parts["train"].files),
            num_test=len(listing.parts["test"].files),
            task=notes.task,
            horizontal_flip=notes.horizontal_flip,
            licence=notes.licence,
            citation=notes.citation or "",
            source=f"image files in {self.options.path}; {listing.told}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Decode every readable image to RGB uint8 [N, S, S, 3], as `decoding.decode` does.

        Raises:
            UnavailableError: The files are not there, or not as they should be.
        """
        return self.listing().parts[split].load(image_size)

    def cache_key(self, split: Split, image_size: int) -> str:
        """Return a hash over the files of a split."""
        return self.listing().parts[split].cache_key(image_size)


def hold_out(names: Sequence[str], labels: Sequence[int]) -> set[int]:
    """Choose the test split where a person made none: the same for every run and seed.

    Of a class of n >= 2, `max(1, round(n / 5))` images: those whose names have the lowest hashes,
    so a new image moves few others. A class of one only trains.

    Args:
        names: One for each image, different ones.
        labels: One for each image.

    Returns:
        Positions of the test images.
    """

    def rank(index: int) -> tuple[int, int]:
        # One form of letters with accents, since file systems differ in it.
        name = ascii(unicodedata.normalize("NFC", names[index]))
        return derive("test-split", 0, name), index

    wanted = {
        label: max(1, round(HELD_OUT_SHARE * count)) if count > 1 else 0
        for label, count in Counter(labels).items()
    }
    chosen = set()
    for index in sorted(range(len(names)), key=rank):
        if wanted[labels[index]] > 0:
            wanted[labels[index]] -= 1
            chosen.add(index)
    return chosen


def split_parts(whole: Part, names: Sequence[str]) -> dict[Split, Part]:
    """Split files without an official test split by `hold_out` of `names`; the order is kept."""
    tested = hold_out(names, whole.labels)
    parts: dict[Split, Part] = {"train": Part(), "test": Part()}
    for index, entry in enumerate(zip(whole.files, whole.names, whole.labels, strict=True)):
        parts["test" if index in tested else "train"].add(*entry)
    return parts


def class_name_problem(name: str) -> str | None:
    """Say why a text cannot name a class, or None."""
    if not name.strip():
        return "an empty label"
    if len(name) > _MAX_CLASS_NAME:
        return f"a label of {len(name)} characters; {_MAX_CLASS_NAME} is the most"
    if not name.isprintable():
        return f"label {shown(name)} has characters that cannot be printed"
    return None


def check_classes(where: object, class_names: Sequence[str]) -> None:
    """Refuse less than two classes.

    Raises:
        UnavailableError: There is one, or none.
    """
    if len(class_names) < 2:
        found = f"one class only ({shown(class_names[0])})" if class_names else "no class"
        raise UnavailableError(f"{where}: {found}; at least 2 are needed")
