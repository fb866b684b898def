"""A person's own images with boxes, in COCO's form."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from sftbench.api import Dataset, DatasetInfo, Examples, Split, UnavailableError
from sftbench.builtin.datasets.arrays import PathOptions, existing_folder
from sftbench.builtin.datasets.labelled import hold_out
from sftbench.names import one_line
from sftbench_detection.datasets.instances import Instances, below, read_instances
from sftbench_detection.datasets.labelled import (
    USUAL_SIZE,
    Labelled,
    Listing,
    examples_of,
    key_of,
)
from sftbench_detection.layout import counts_of, rarest

_EXPECTED: Final = (
    "annotations/instances_train*.json with instances_test*.json or instances_val*.json; or "
    "train/_annotations.coco.json with test/ or valid/; or one instances.json"
)
_HELD_OUT: Final = "a fifth of the images, by a hash of their names, is the test split"


class CocoFolder(Dataset):
    """A folder of images and instances files, in one of three layouts.

    * COCO's own: `annotations/instances_train*.json` beside `instances_test*.json` (or `_val*`);
      images in a folder of the file's last word (`train2017/`), in `images/`, or in the folder.
    * `train/_annotations.coco.json` beside `test/` (or `valid/`), each with its images.
    * One `instances.json`, also in `annotations/`: a fifth of its images is held out.

    Images are fitted into squares, not cropped; boxes stay in the images' own pixels for metrics.
    """

    name = "coco"
    summary = "a folder of images and instances files in COCO's form"
    options_model = PathOptions
    argument = "path"
    options: PathOptions

    def info(self) -> DatasetInfo:
        """Describe the data from its instances files.

        Raises:
            UnavailableError: One is missing, or not as it should be.
        """
        listing = self._listing()
        return DatasetInfo(
            name=self.reference,
            class_names=listing.class_names,
            num_train=len(listing.parts["train"]),
            num_test=len(listing.parts["test"]),
            task="detection",
            horizontal_flip=True,
            image_size=USUAL_SIZE,
            source=f"{self.options.path}; {listing.told}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, S, S, 3] with their truth.

        Raises:
            UnavailableError: An instances file is missing, or not as it should be.
        """
        return examples_of(self._listing(), split, image_size)

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return what decides the decoded images and boxes."""
        return key_of(self.reference, self._listing(), split, image_size)

    def _listing(self) -> Listing:
        folder = existing_folder(self.options.path, _EXPECTED)
        files = _instances_files(folder)
        states = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        return _listed(str(folder), states)


@functools.lru_cache(maxsize=4)
def _listed(folder: str, states: tuple[tuple[str, int, int], ...]) -> Listing:
    """Read the files of a folder; once, as long as they stay as they are."""
    files = [Path(name) for name, _, _ in states]
    found = [_read(Path(folder), file) for file in files]
    first = found[0]
    if any(one.categories != first.categories for one in found):
        where = one_line(str(files[1]), 1000)
        raise UnavailableError(f"{where}: its categories are not those of {files[0].name}")
    if not first.images or not found[-1].images:
        raise UnavailableError(f"{one_line(folder, 1000)}: no image; expected {_EXPECTED}")
    if len(found) == 2:
        parts: dict[Split, tuple[Labelled, ...]] = {"train": first.images, "test": found[1].images}
        return Listing(first.categories, parts, f"{files[1].name} is the test split")
    return Listing(first.categories, _held_out(first, Path(folder)), _HELD_OUT)


def _held_out(found: Instances, folder: Path) -> dict[Split, tuple[Labelled, ...]]:
    counts = counts_of([one.boxes for one in found.images], len(found.categories))
    labels = rarest(counts, counts.sum(axis=0)).tolist()
    tested = hold_out([one.file.relative_to(folder).as_posix() for one in found.images], labels)
    return {
        "train": tuple(one for place, one in enumerate(found.images) if place not in tested),
        "test": tuple(found.images[place] for place in sorted(tested)),
    }


def _instances_files(folder: Path) -> list[Path]:
    """Return the training file and the test file, or the only one.

    Raises:
        UnavailableError: There is none, or it is not clear which.
    """
    exports = [folder / name / "_annotations.coco.json" for name in ("train", "test", "valid")]
    if exports[0].is_file():
        tested = next((file for file in exports[1:] if file.is_file()), None)
        if tested is not None:
            return [exports[0], tested]
    own = folder / "annotations"
    train = sorted(own.glob("instances_train*.json"))
    test = sorted(own.glob("instances_test*.json")) or sorted(own.glob("instances_val*.json"))
    if len(train) == len(test) == 1:
        return [train[0], test[0]]
    if len(train) > 1 or len(test) > 1:
        names = ", ".join(one_line(file.name) for file in (*train, *test))
        raise UnavailableError(f"{one_line(str(own), 1000)}: {names}: which are the two splits?")
    for one in (folder / "instances.json", own / "instances.json"):
        if one.is_file():
            return [one]
    raise UnavailableError(f"{one_line(str(folder), 1000)}: no instances; expected {_EXPECTED}")


def _read(folder: Path, file: Path) -> Instances:
    """Read a file whose images lie in one of the usual folders."""
    word = file.stem.rpartition("_")[2]
    places = [folder / "images" / word, folder / word, folder / "images", folder]
    if file.name == "_annotations.coco.json":
        places = [file.parent]
    known: list[Path] = []

    def place(name: str) -> Path:
        if not known:
            there = [one for one in places if below(one, name, file).is_file()]
            known.append(there[0] if there else places[-1])
        return below(known[0], name, file)

    return read_instances(file, place)
