"""CIFAR-10 from a folder that a person already has. Nothing is downloaded."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sftbench.api import Dataset, DatasetInfo, Examples, Split, UnavailableError
from sftbench.builtin.datasets.arrays import ARRAY_FILES, open_arrays

CLASS_NAMES: Final = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
BATCHES_FOLDER: Final = "cifar-10-batches-py"
# The md5 of each file of https://www.cs.toronto.edu/~kriz/cifar.html, as torchvision has them.
BATCHES: Final[Mapping[Split, Mapping[str, str]]] = {
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}
_NUM: Final[Mapping[Split, int]] = {"train": 50_000, "test": 10_000}
_SPLITS: Final[tuple[Split, ...]] = ("train", "test")


class Cifar10(Dataset):
    """Colour pictures of 10 things, 32 x 32, found under SFTBENCH_DATA, ./data or the cache.

    In each of these folders, in this order: torchvision's `cifar-10-batches-py`, the four arrays
    of `arrays:PATH` in `cifar10`, or the four arrays in the folder itself.
    """

    name = "cifar10"
    summary = "CIFAR-10 from a folder of torchvision or of arrays"

    def info(self) -> DatasetInfo:
        """Find the data and describe it.

        Raises:
            UnavailableError: It is not here, or incomplete.
        """
        folder = _find()
        if folder.name == BATCHES_FOLDER:
            for name in (*BATCHES["train"], *BATCHES["test"]):
                if not (folder / name).is_file():
                    raise UnavailableError(f"{folder / name}: missing; {_unpack_again(folder)}")
        else:
            _open_cifar_arrays(folder)
        return DatasetInfo(
            name=self.reference,
            class_names=CLASS_NAMES,
            num_train=_NUM["train"],
            num_test=_NUM["test"],
            horizontal_flip=True,
            licence="unknown (research use)",
            citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
            source=f"files in {folder}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, 32, 32, 3].

        Raises:
            UnavailableError: It is not here, incomplete, or not the published data.
        """
        folder = _find()
        if folder.name == BATCHES_FOLDER:
            return read_batches(folder, BATCHES[split])
        return _open_cifar_arrays(folder)[split]


def read_batches(folder: Path, md5_by_name: Mapping[str, str]) -> Examples:
    """Read batch files of the published python version, one after another.

    A file is unpickled only if its md5 is the expected one, and even then only into arrays.

    Args:
        folder: Holds the files.
        md5_by_name: Names of the files, in order, and their md5.

    Returns:
        Images uint8 [N, 32, 32, 3] and targets int64 [N].

    Raises:
        UnavailableError: A file cannot be read, or is not the expected one.
    """
    images, targets = [], []
    for name, md5 in md5_by_name.items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise UnavailableError(f"{folder / name}: {error.strerror}") from None
        # Not against an attacker who made the published file: that one is what md5 names here.
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise UnavailableError(
                f"{folder / name}: its md5 is {found}, not {md5}; {_unpack_again(folder)}"
            )
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        images.append(batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        targets.append(np.asarray(batch["labels"], dtype=np.int64))
    return Examples(np.ascontiguousarray(np.concatenate(images)), np.concatenate(targets))


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the three names that an array's pickle needs.

        Raises:
            UnpicklingError: Any other name.
        """
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            # Where it lives differs between NumPy 1 and 2, and an array knows it.
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _dtype
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")


def _dtype(code: str, align: int, copy: int) -> np.dtype[Any]:
    """Build a dtype of the files' Python 2, whose 0 and 1 NumPy 2.4 warns of."""
    return np.dtype(code, bool(align), bool(copy))


def _roots() -> list[Path]:
    """Return where data is looked for; a folder that cannot be named is left out."""
    given = os.environ.get("SFTBENCH_DATA")
    roots = []
    for text in (given, "data", "~/.cache/sftbench/data"):
        try:
            roots += [Path(text).expanduser()] if text else []
        except RuntimeError:  # no home folder
            continue
    return roots


def _find() -> Path:
    """Return the first folder that has the data.

    Raises:
        UnavailableError: None has it; the message says where it was looked for.
    """
    roots = _roots()
    for root in roots:
        with contextlib.suppress(OSError):  # a folder that may not be entered has nothing for us
            if (root / BATCHES_FOLDER).is_dir():
                return root / BATCHES_FOLDER
            for folder in (root / "cifar10", root):
                if all((folder / name).is_file() for name in ARRAY_FILES):
                    return folder
    raise UnavailableError(
        f"cifar10 is not in {', '.join(str(root) for root in roots)}; put torchvision's folder "
        f"{BATCHES_FOLDER} into one of them or name its parent in SFTBENCH_DATA; "
        f"for a folder of arrays: sftbench run --dataset arrays:PATH"
    )


def _open_cifar_arrays(folder: Path) -> dict[Split, Examples]:
    """Map the four arrays of a folder and check that they have CIFAR-10's form.

    Raises:
        UnavailableError: They have not.
    """
    examples = open_arrays(folder)
    for split in _SPLITS:
        shape = np.shape(examples[split].inputs)
        if shape != (_NUM[split], 32, 32, 3):
            raise UnavailableError(
                f"{folder / f'{split}_images.npy'}: {list(shape)} is not CIFAR-10, which has "
                f"{[_NUM[split], 32, 32, 3]}; use arrays:{folder}"
            )
    num_classes = int(examples["train"].targets.max()) + 1
    if num_classes != len(CLASS_NAMES):
        raise UnavailableError(
            f"{folder / 'train_labels.npy'}: {num_classes} classes are not CIFAR-10, which has 10; "
            f"use arrays:{folder}"
        )
    return examples


def _unpack_again(folder: Path) -> str:
    return f"unpack cifar-10-python.tar.gz again in {folder.parent}"
