"""A person's own image files, in one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.arrays import existing_folder
from sftbench.builtin.datasets.labelled import (
    HELD_OUT,
    LabelledFiles,
    Listing,
    Part,
    check_classes,
    class_name_problem,
    split_parts,
)
from sftbench.names import nearest, one_line

SUFFIXES: Final = frozenset(
    {
        *{".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"},
        *{".tif", ".tiff", ".webp"},
    }
)
_LAYOUT: Final = (
    "a folder with train/CLASS/IMAGE and test/CLASS/IMAGE (or val/CLASS/IMAGE), or CLASS/IMAGE"
)
# Names that no class has where the layout is CLASS/IMAGE: rather a split under another name.
_SPLITS: Final = frozenset(
    {"test", "testing", "train", "training", "val", "valid", "validation", "held-out", "holdout"}
)


class Folder(LabelledFiles):
    """The layouts `train/CLASS/IMAGE` with `test/CLASS/IMAGE`, as torchvision's, or `CLASS/IMAGE`.

    Without `test`, `val` is the test split: sftbench carves its own validation from `train`.
    Without splits, a fifth of each class is held out, the same for every run (`labelled.hold_out`).
    Classes are folders in alphabetical order. Files are sought below them at any depth; hidden
    ones, and those that are no image by their suffix, are passed over. `dataset.json` in the
    folder may tell more.
    """

    name = "folder"
    summary = "a folder of train/CLASS/IMAGE and test/CLASS/IMAGE (or val/), or of CLASS/IMAGE"

    def listing(self) -> Listing:
        """List the folders.

        Raises:
            UnavailableError: The layout is not as it should be.
        """
        return _list(self.notes_folder())

    def notes_folder(self) -> Path:
        """Return the folder itself."""
        return existing_folder(self.options.path, _LAYOUT)


def _list(folder: Path) -> Listing:
    """List the images of both splits.

    Raises:
        UnavailableError: The layout is not as it should be.
    """
    if not _is_split(folder):
        return _list_classes(folder)
    train = _images_by_class(folder / "train")
    _check_training(folder / "train", train)
    test_name = "test" if (folder / "test").is_dir() else "val"
    test = _images_by_class(folder / test_name)
    for name in test.keys() - train.keys():
        close = nearest(name, train)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        where = one_line(str(folder / test_name / name), 1000)
        raise UnavailableError(f"{where}: train/ has no such class{hint}")
    if not any(test.values()):
        raise UnavailableError(f"{folder / test_name}: no image in it; expected {_LAYOUT}")
    return Listing(
        class_names=tuple(train),
        parts={"train": _part(train, train), "test": _part(train, test)},
        told=f"{test_name}/ is the test split",
    )


def _is_split(folder: Path) -> bool:
    """Tell whether the folder has a split, or something that looks like one."""
    return any(name.lower() in _SPLITS for name in _folders(folder))


def _list_classes(folder: Path) -> Listing:
    """List a folder of CLASS/IMAGE.

    Raises:
        UnavailableError: It is none, or no class has two images.
    """
    found = _images_by_class(folder)
    if not found:
        raise UnavailableError(f"{folder}: no image in it; expected {_LAYOUT}")
    _check_training(folder, found)
    whole = _part(found, found)
    # By names below the folder, so that it may be moved.
    parts = split_parts(whole, [file.relative_to(folder).as_posix() for file in whole.files])
    if not parts["test"].files:
        raise UnavailableError(
            f"{folder}: every class has one image, so none can be held out as test split; "
            f"expected {_LAYOUT}"
        )
    return Listing(tuple(found), parts, HELD_OUT)


def _check_training(part: Path, found: Mapping[str, list[Path]]) -> None:
    """Refuse classes that cannot be trained on.

    Raises:
        UnavailableError: An empty class, one without a printable name, or fewer than two.
    """
    for name, files in found.items():
        where = one_line(str(part / name), 1000)
        problem = class_name_problem(name)
        if problem:
            raise UnavailableError(f"{where}: {problem}")
        if not files:
            raise UnavailableError(
                f"{where}: no image in it (known suffixes: {' '.join(sorted(SUFFIXES))})"
            )
    check_classes(part, list(found))


def _part(classes: Mapping[str, list[Path]], found: Mapping[str, list[Path]]) -> Part:
    part = Part()
    for label, name in enumerate(classes):
        for file in found.get(name, []):
            part.add(file, str(file), label)
    return part


def _images_by_class(part: Path) -> dict[str, list[Path]]:
    """Return the images of each visible folder in `part`, both sorted by name.

    Raises:
        UnavailableError: A folder is missing or cannot be listed, or an image has no class.
    """
    found = {name: _images(part / name) for name in _folders(part)}
    for entry in sorted(part.iterdir()):
        if _is_image(entry.name) and not entry.is_dir():
            raise UnavailableError(
                f"{one_line(str(entry), 1000)}: an image outside of a class folder has no label; "
                f"expected {_LAYOUT}"
            )
    return found


def _folders(part: Path) -> list[str]:
    """Return the names of the visible folders in `part`, sorted.

    Raises:
        UnavailableError: It is missing or cannot be listed.
    """
    try:
        return sorted(
            entry.name
            for entry in part.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except FileNotFoundError:
        raise UnavailableError(f"{part}: missing; expected {_LAYOUT}") from None
    except OSError as error:
        raise _refused(error) from None


def _images(folder: Path) -> list[Path]:
    """Return the visible image files below `folder`, sorted.

    Raises:
        UnavailableError: A folder cannot be listed, or a link leads into one a second time.
    """

    def refuse(error: OSError) -> None:
        raise _refused(error)

    found = []
    entered = set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:
            where = one_line(parent, 1000)
            raise UnavailableError(f"{where}: a link to a folder that is listed already; remove it")
        entered.add(real)
        found += [Path(parent) / name for name in (*names, *folders) if _is_image(name)]
        # In place, so that os.walk enters no hidden one such as .ipynb_checkpoints. A folder that
        # is named like an image is listed as one, and is told when it is read.
        folders[:] = [name for name in folders if not (name.startswith(".") or _is_image(name))]
    return sorted(found)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _refused(error: OSError) -> UnavailableError:
    where = one_line(str(error.filename), 1000)
    return UnavailableError(f"{where}: {error.strerror}; expected {_LAYOUT}")
