"""A person's own image files, in one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sftbench.api import Dataset, DatasetInfo, Examples, Split, UnavailableError
from sftbench.builtin.datasets.arrays import Notes, PathOptions, existing_folder, read_notes
from sftbench.builtin.datasets.decoding import decode_all

SUFFIXES: Final = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_LAYOUT: Final = "a folder with train/CLASS/IMAGE and test/CLASS/IMAGE (or val/CLASS/IMAGE)"


class Folder(Dataset):
    """The layout of torchvision's ImageFolder: `train/CLASS/IMAGE` and `test/CLASS/IMAGE`.

    Without `test`, `val` is the test split: sftbench carves its own validation from `train`.
    Classes are the folders of `train` in alphabetical order. Files are sought below them at any
    depth; hidden ones, and those that are no image by their suffix, are passed over. An EXIF
    orientation is not applied, as in torchvision. `dataset.json` beside `train` may tell more.
    """

    name = "folder"
    summary = "a folder of train/CLASS/IMAGE and test/CLASS/IMAGE (or val/)"
    options_model = PathOptions
    argument = "path"
    options: PathOptions

    def info(self) -> DatasetInfo:
        """List the folders and count their files; no image is opened.

        Raises:
            UnavailableError: The layout is not as it should be.
        """
        folder = existing_folder(self.options.path, _LAYOUT)
        listing = _list(folder)
        notes = read_notes(folder, Notes)
        return DatasetInfo(
            name=self.reference,
            class_names=listing.class_names,
            num_train=len(listing.files["train"]),
            num_test=len(listing.files["test"]),
            task=notes.task,
            horizontal_flip=notes.horizontal_flip,
            licence=notes.licence,
            citation=notes.citation or "",
            source=f"image files in {self.options.path}; {listing.test_name}/ is the test split",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Decode every readable image to RGB uint8 [N, S, S, 3], as `decoding.decode` does.

        Raises:
            UnavailableError: The layout is not as it should be.
        """
        listing = _list(existing_folder(self.options.path, _LAYOUT))
        images, kept, unreadable = decode_all(listing.files[split], image_size)
        targets = np.array(listing.labels[split], dtype=np.int64)
        return Examples(images, targets[kept], unreadable=unreadable)


@dataclass(frozen=True, slots=True)
class _Listing:
    """Image files and their labels by split, sorted by class and path."""

    class_names: tuple[str, ...]
    test_name: str
    files: Mapping[Split, list[Path]]
    labels: Mapping[Split, list[int]]


def _list(folder: Path) -> _Listing:
    """List the images of both splits.

    Raises:
        UnavailableError: The layout is not as it should be.
    """
    train = _images_by_class(folder / "train")
    if len(train) < 2:
        raise UnavailableError(
            f"{folder / 'train'}: {len(train)} class folders; at least 2 are needed"
        )
    for name, files in train.items():
        if not files:
            raise UnavailableError(
                f"{folder / 'train' / name}: no image in it "
                f"(known suffixes: {' '.join(sorted(SUFFIXES))})"
            )
    test_name = "test" if (folder / "test").is_dir() else "val"
    test = _images_by_class(folder / test_name)
    for name in test:
        if name not in train:
            raise UnavailableError(f"{folder / test_name / name}: train/ has no such class")
    if not any(test.values()):
        raise UnavailableError(f"{folder / test_name}: no image in it; expected {_LAYOUT}")
    both: dict[Split, dict[str, list[Path]]] = {"train": train, "test": test}
    return _Listing(
        class_names=tuple(train),
        test_name=test_name,
        files={
            split: [file for name in train for file in part.get(name, [])]
            for split, part in both.items()
        },
        labels={
            split: [label for label, name in enumerate(train) for _ in part.get(name, [])]
            for split, part in both.items()
        },
    )


def _images_by_class(part: Path) -> dict[str, list[Path]]:
    """Return the images of each visible folder in `part`, both sorted by name.

    Raises:
        UnavailableError: A folder is missing or cannot be listed.
    """
    try:
        names = sorted(
            entry.name
            for entry in part.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except FileNotFoundError:
        raise UnavailableError(f"{part}: missing; expected {_LAYOUT}") from None
    except OSError as error:
        raise _refused(error) from None
    return {name: _images(part / name) for name in names}


def _images(folder: Path) -> list[Path]:
    """Return the visible image files below `folder`, sorted."""

    def refuse(error: OSError) -> None:
        raise _refused(error)

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # In place, so that os.walk does not enter hidden ones such as .ipynb_checkpoints.
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent) / name
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def _refused(error: OSError) -> UnavailableError:
    return UnavailableError(f"{error.filename}: {error.strerror}; expected {_LAYOUT}")
