"""Images in the formats of Hugging Face's `datasets`: from its hub, or from a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sftbench.api import (
    Dataset,
    DatasetInfo,
    Examples,
    FetchProgress,
    Options,
    RequestError,
    Split,
    UnavailableError,
)
from sftbench.builtin.datasets.decoding import DECODER_VERSION, decode_contents
from sftbench.builtin.datasets.hf_source import Wanted, load_splits, parse_source
from sftbench.builtin.datasets.labelled import (
    HELD_OUT,
    check_classes,
    class_name_problem,
    hold_out,
)
from sftbench.names import one_line, shown, unknown_name

_TESTS: Final = ("test", "validation", "valid", "val", "dev")


class SourceOptions(Options):
    """`source`: a name on the hub or a folder, then `?KEY=VALUE&...` where a choice is needed."""

    source: str = Field(min_length=1, max_length=2000)


class HuggingFace(Dataset):
    """A data set of `datasets`: parquet, an image folder, what `save_to_disk` wrote, or the hub's.

    The columns of images and labels are found by their types (Image, ClassLabel). Splits are
    `train` and `test`, or `validation` where there is no `test`; of a single split a fifth of each
    class is held out, the same for every run. Behind `?` a person chooses: `image=COLUMN`,
    `label=COLUMN`, `train=SPLIT`, `test=SPLIT`, `config=NAME`, `revision=COMMIT`.
    """

    name = "hf"
    summary = "images of a hub by name, or of a folder that `datasets` saved (needs an extra)"
    options_model = SourceOptions
    argument = "source"
    options: SourceOptions

    def info(self) -> DatasetInfo:
        """Describe the data; where it is not in the cache of `datasets`, it is downloaded.

        Raises:
            RequestError: A choice behind `?` is wrong.
            UnavailableError: It cannot be had, or has no images with labels.
        """
        rows = self._rows()
        about = rows.splits["train"].info
        return DatasetInfo(
            name=self.reference,
            class_names=rows.class_names,
            num_train=len(rows.indices["train"]),
            num_test=len(rows.indices["test"]),
            licence=one_line(str(about.license or "")) or "unknown",
            citation=one_line(str(about.citation or ""), 1000),
            source=f"datasets, {self.options.source}; {rows.told}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Decode every readable image to RGB uint8 [N, S, S, 3], as `decoding.decode` does.

        Raises:
            UnavailableError: It cannot be had, or has no images with labels.
        """
        rows = self._rows()
        indices, column = rows.indices[split], rows.image

        def content(position: int) -> tuple[str, bytes | Path]:
            row = int(indices[position])
            value = rows.splits[split][row][column] or {}
            path, data = value.get("path"), value.get("bytes")
            name = f"hf:{self.options.source} {rows.names[split]} row {row}"
            if data is None:
                return (f"{name}: {path}", Path(path)) if path else (name, b"")
            return name, data

        images, kept, unreadable = decode_contents(len(indices), content, image_size)
        return Examples(images, rows.targets[split][kept], unreadable=unreadable)

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return a hash over the files that `datasets` reads; None where it reads none."""
        rows = self._rows()
        files = [Path(entry["filename"]) for entry in rows.splits[split].cache_files]
        if not files:
            return None
        hasher = hashlib.sha256(f"{DECODER_VERSION} {image_size} {rows.image}\n".encode())
        for file in files:
            state = file.stat()
            hasher.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode())
        hasher.update(rows.indices[split].tobytes() + rows.targets[split].tobytes())
        return hasher.hexdigest()

    def fetch(self, progress: FetchProgress) -> None:
        """Let `datasets` download it into its own cache, with its own progress.

        Raises:
            UnavailableError: It cannot be had.
        """
        progress(self.reference, 0, None)
        self._rows()

    def _rows(self) -> _Rows:
        name, wanted = parse_source(self.options.source)
        return _rows(one_line(f"hf:{name}"), name, wanted)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What `datasets` gave.

    Attributes:
        splits: A `datasets.Dataset` with undecoded images, for `train` and `test`.
        names: What each is called there.
        indices: int64 [N], which rows of it.
        targets: int64 [N], class indices.
        image: The column of images.
        class_names: One for each class.
        told: Which splits and columns these are.
    """

    splits: dict[Split, Any]
    names: dict[Split, str]
    indices: dict[Split, NDArray[np.int64]]
    targets: dict[Split, NDArray[np.int64]]
    image: str
    class_names: tuple[str, ...]
    told: str


@lru_cache(maxsize=4)
def _rows(where: str, name: str, wanted: Wanted) -> _Rows:
    found = load_splits(name, wanted.config, wanted.revision)

    from datasets import ClassLabel, Image  # it is there, or the line above has raised

    train_name, test_name = _split_names(where, list(found), wanted)
    features = found[train_name].features
    image = _column(where, features, Image, "image", wanted.image)
    label = _column(where, features, ClassLabel, "label", wanted.label)
    names: dict[Split, str] = {"train": train_name, "test": test_name or train_name}
    for column in (image, label):
        if column not in found[names["test"]].features:
            raise UnavailableError(f"{where}: split {names['test']} has no column {column!r}")
    values = {split: found[own][label] for split, own in names.items()}
    class_names, index_of = _classes(where, features[label], values["train"])
    targets = {
        split: _targets(f"{where}: split {names[split]}", one, index_of)
        for split, one in values.items()
    }
    indices = {split: np.arange(len(one), dtype=np.int64) for split, one in targets.items()}
    told = f"splits {train_name} and {test_name}"
    if test_name is None:
        whole = targets["train"]
        chosen = hold_out([str(row) for row in range(len(whole))], whole.tolist())
        is_test = np.isin(np.arange(len(whole)), sorted(chosen))
        indices = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
        targets = {split: whole[rows] for split, rows in indices.items()}
        told = f"split {train_name}; {HELD_OUT}"
    _check_parts(where, targets, class_names)
    undecoded = {
        split: found[own].cast_column(image, Image(decode=False)) for split, own in names.items()
    }
    told += f"; columns {image} and {label}"
    return _Rows(undecoded, names, indices, targets, image, class_names, told)


def _split_names(where: str, there: Sequence[str], wanted: Wanted) -> tuple[str, str | None]:
    """Return the names of the training and the test split; None: hold some out.

    Raises:
        RequestError: A split is not there, or has to be chosen.
    """
    for asked in (wanted.train, wanted.test):
        if asked is not None and asked not in there:
            raise RequestError(f"{where}: {unknown_name('split', asked, there)}")
    train = wanted.train or ("train" if "train" in there else there[0])
    if wanted.train is None and train != "train" and len(there) > 1:
        raise RequestError(
            f"{where}: no split train; choose with ?train=SPLIT&test=SPLIT of: {', '.join(there)}"
        )
    test = wanted.test or next((one for one in _TESTS if one in there and one != train), None)
    if test == train:
        raise RequestError(f"{where}: {train} is asked for as training and as test split")
    return train, test


def _column(where: str, features: Any, form: type, key: str, asked: str | None) -> str:
    """Return the column that is asked for, or the only one of a type.

    Raises:
        RequestError: There is none, or more than one; the message lists all columns.
    """
    columns = ", ".join(f"{name} ({type(kind).__name__})" for name, kind in features.items())
    columns = one_line(columns, 1000)
    if asked is not None:
        if asked not in features:
            raise RequestError(f"{where}: no column {shown(asked)}; columns: {columns}")
        if key == "image" and not isinstance(features[asked], form):
            raise RequestError(f"{where}: column {asked} holds no images; columns: {columns}")
        return asked
    found = [str(name) for name, kind in features.items() if isinstance(kind, form)]
    if len(found) != 1:
        what = f"{len(found) or 'no'} column{'s' * (len(found) > 1)} of type {form.__name__}"
        raise RequestError(f"{where}: {what}; choose with ?{key}=COLUMN; columns: {columns}")
    return found[0]


def _classes(
    where: str, feature: Any, values: Sequence[Any]
) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Return the names of the classes, and the class index of each value of a label.

    The classes of a ClassLabel are its own; else they are the different values, in order.

    Raises:
        UnavailableError: The values cannot be classes, or there are fewer than two.
    """
    names = getattr(feature, "names", None)
    ordered = list(range(len(names))) if names is not None else _ordered(where, set(values))
    names = tuple(names) if names is not None else tuple(map(str, ordered))
    for name in names:
        problem = class_name_problem(name)
        if problem:
            raise UnavailableError(f"{where}: {problem}")
    check_classes(where, names)
    return names, {value: index for index, value in enumerate(ordered)}


def _ordered(where: str, different: set[Any]) -> list[Any]:
    for form in (str, int):
        if all(isinstance(value, form) for value in different):
            return sorted(different)
    raise UnavailableError(f"{where}: the labels are neither text nor whole numbers")


def _targets(where: str, values: Sequence[Any], index_of: dict[Any, int]) -> NDArray[np.int64]:
    """Return class indices int64 [N].

    Raises:
        UnavailableError: A label is no class.
    """
    targets = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        if not isinstance(value, str | int) or value not in index_of:
            raise UnavailableError(
                f"{where} row {row}: label {shown(value)} is no class of the training split; "
                "choose other splits with ?train=SPLIT&test=SPLIT"
            )
        targets[row] = index_of[value]
    return targets


def _check_parts(
    where: str, targets: dict[Split, NDArray[np.int64]], names: tuple[str, ...]
) -> None:
    """Refuse an empty split, or a class without a training image."""
    for split, one in targets.items():
        if len(one) == 0:
            raise UnavailableError(f"{where}: the {split} split is empty")
    counts = np.bincount(targets["train"], minlength=len(names))
    if not counts.all():
        raise UnavailableError(f"{where}: class {names[int(counts.argmin())]!r} has no image")
