"""A person's own images and masks, in two folders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from sftbench.api import Dataset, DatasetInfo, Examples, Split, UnavailableError
from sftbench.builtin.datasets.arrays import ArrayNotes, PathOptions, existing_folder, read_notes
from sftbench.builtin.datasets.decoding import DECODER_VERSION
from sftbench.builtin.datasets.folder import SUFFIXES
from sftbench.builtin.datasets.labelled import HELD_OUT_SHARE, hold_out
from sftbench.names import one_line
from sftbench_segmentation.confusion import IGNORED
from sftbench_segmentation.masks import Pair, read_pairs

_LAYOUT: Final = (
    "images/NAME.jpg with masks/NAME.png, or both in train/ and in test/ (or val/), and "
    'dataset.json with {"class_names": ["background", ...]}'
)
_NOTES: Final = "dataset.json"
_LOSSY: Final = frozenset({".jpeg", ".jpg", ".webp"})


class MaskFolder(Dataset):
    """`images/` and `masks/`, whose files have the same names but for the suffix.

    A mask has one number of 8 bits a pixel (grey, or the indices of a palette): the class, in the
    order of `class_names` in `dataset.json`, or 255 where the pixel is ignored. Where both stand in
    `train/` and `test/`, that is the test split (else `val/`); else a fifth is held out, chosen by
    a hash of the names.
    """

    name = "mask-folder"
    summary = "your folder of images/ and masks/, or of both in train/ and test/"
    options_model = PathOptions
    argument = "path"
    options: PathOptions

    def info(self) -> DatasetInfo:
        """List and count the files; no image is opened.

        Raises:
            UnavailableError: They are not there, or not as they should be.
        """
        folder = self._folder()
        notes = read_notes(folder, ArrayNotes)
        parts, told = _list(folder)
        return DatasetInfo(
            name=self.reference,
            class_names=_class_names(folder, notes),
            num_train=len(parts["train"]),
            num_test=len(parts["test"]),
            task="segmentation",
            horizontal_flip=notes.horizontal_flip,
            licence=notes.licence,
            citation=notes.citation or "",
            source=f"images and masks in {self.options.path}; {told}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Decode to images uint8 [N, S, S, 3] and masks uint8 [N, S, S].

        Raises:
            UnavailableError: The files are not there, or not as they should be.
        """
        folder = self._folder()
        names = _class_names(folder, read_notes(folder, ArrayNotes))
        return read_pairs(_list(folder)[0][split], image_size, len(names))

    def cache_key(self, split: Split, image_size: int) -> str:
        """Return a hash of names, sizes and times of the files, and of the number of classes."""
        folder = self._folder()
        num_classes = len(_class_names(folder, read_notes(folder, ArrayNotes)))
        hasher = hashlib.sha256(f"{DECODER_VERSION} {image_size} {num_classes}\n".encode())
        for pair in _list(folder)[0][split]:
            for file in (pair.image, pair.mask):
                try:
                    state = file.stat()
                    what = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
                except OSError:  # it is told when it is read
                    what = "missing"
                hasher.update(f"{what} {file.absolute()}\n".encode(errors="surrogateescape"))
        return hasher.hexdigest()

    def _folder(self) -> Path:
        return existing_folder(self.options.path, _LAYOUT)


def _class_names(folder: Path, notes: ArrayNotes) -> tuple[str, ...]:
    """Return the names that `dataset.json` gives.

    Raises:
        UnavailableError: It gives none, or not 2 to 255 different ones.
    """
    names = notes.class_names
    if names is None:
        raise UnavailableError(
            f"{folder / _NOTES}: class_names is missing: name the classes in the order of the "
            'masks\' numbers, as {"class_names": ["background", "cell"]}'
        )
    if len(set(names)) != len(names) or not 2 <= len(names) <= IGNORED:
        raise UnavailableError(
            f"{folder / _NOTES}: class_names are not 2 to {IGNORED} different names"
        )
    return names


def _list(folder: Path) -> tuple[dict[Split, list[Pair]], str]:
    """Return the pairs of both splits, and whose test split it is.

    Raises:
        UnavailableError: The layout is not as it should be.
    """
    if (folder / "train").is_dir():
        test = "test" if (folder / "test").is_dir() else "val"
        parts: dict[Split, list[Pair]] = {
            "train": _pairs(folder / "train"),
            "test": _pairs(folder / test),
        }
        return parts, f"{test}/ is the test split"
    whole = _pairs(folder)
    if len(whole) < 2:
        raise UnavailableError(
            f"{folder}: one image, so none can be held out as test split; expected {_LAYOUT}"
        )
    tested = hold_out([pair.image.stem for pair in whole], [0] * len(whole))
    parts = {
        "train": [pair for index, pair in enumerate(whole) if index not in tested],
        "test": [pair for index, pair in enumerate(whole) if index in tested],
    }
    return parts, f"{HELD_OUT_SHARE:.0%}, chosen by a hash of the names, are the test split"


def _pairs(folder: Path) -> list[Pair]:
    """Return images and masks of one split, by name.

    Raises:
        UnavailableError: A folder or a partner is missing.
    """
    images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    for stem, image in images.items():
        if stem not in masks:
            raise UnavailableError(
                f"{one_line(str(image), 1000)}: no mask; expected masks/{one_line(stem)}.png"
            )
        mask = masks[stem]
        if mask.suffix.lower() in _LOSSY:
            raise UnavailableError(
                f"{one_line(str(mask), 1000)}: a mask that may have lost numbers; save it as .png"
            )
    for stem, mask in masks.items():
        if stem not in images:
            raise UnavailableError(f"{one_line(str(mask), 1000)}: a mask without an image")
    return [Pair(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the visible image files of a folder by their names without suffix.

    Raises:
        UnavailableError: It is missing or empty, or two files have one name.
    """
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise UnavailableError(
            f"{one_line(str(folder), 1000)}: {error.strerror}; expected {_LAYOUT}"
        ) from None
    found: dict[str, Path] = {}
    for file in files:
        if file.name.startswith(".") or file.suffix.lower() not in SUFFIXES:
            continue
        if file.stem in found:
            raise UnavailableError(
                f"{one_line(str(file), 1000)}: {one_line(found[file.stem].name)} has its name too"
            )
        found[file.stem] = file
    if not found:
        raise UnavailableError(
            f"{one_line(str(folder), 1000)}: no image in it (known suffixes: "
            f"{' '.join(sorted(SUFFIXES))})"
        )
    return found
