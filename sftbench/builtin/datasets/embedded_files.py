"""Image arrays that need no download: Fashion-MNIST's mini set, and scikit-learn's digits."""

from __future__ import annotations

import bz2
import hashlib
import struct
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import numpy as np
from numpy.typing import NDArray

FASHION_MNIST_CLASS_NAMES: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DIGITS_CLASS_NAMES: Final = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

# Written by scripts/build_fashion_mnist_mini.py, which describes its layout and prints its sha256.
FASHION_MNIST_MINI_FILE: Final = (
    files("sftbench.builtin.datasets") / "data" / "fashion-mnist-mini.bin.bz2"
)
FASHION_MNIST_MINI_SHA256: Final = (
    "80477f47916ef295fc88e3968d7ce38b878bb05a9133968499bfcfa0ced27f9c"
)

_HEADER: Final = struct.Struct(">8s4I")
_DIGITS_SPLIT_SEED: Final = 0
_DIGITS_NUM_TEST_PER_CLASS: Final = 36
_REINSTALL: Final = "reinstall it: pip install --force-reinstall --no-deps sftbench"


@dataclass(frozen=True, eq=False)
class EmbeddedArrays:
    """Grey images and their labels, split into training and test.

    Attributes:
        train_images: uint8 `[N, H, W]`, 0..255.
        train_labels: int64 `[N]`, 0..9.
        test_images: uint8 `[M, H, W]`, 0..255.
        test_labels: int64 `[M]`, 0..9.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load_fashion_mnist_mini(file: Traversable = FASHION_MNIST_MINI_FILE) -> EmbeddedArrays:
    """Load 3,000 training and 1,000 test images of Fashion-MNIST, balanced over 10 classes.

    The arrays are fresh and writable at each call.

    Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms", arXiv:1708.07747. Training images come from its training file, test
    images from its test file.

    Args:
        file: Where the embedded file is.

    Returns:
        Images of 28 x 28, in a seeded random order.

    Raises:
        ValueError: The file is missing, or is not the one that sftbench was released with.
    """
    content = bz2.decompress(_read_verified(file, FASHION_MNIST_MINI_SHA256))
    _, num_train, num_test, height, width = _HEADER.unpack_from(content)
    pixels = height * width
    lengths = (num_train * pixels, num_train, num_test * pixels, num_test)
    body = np.frombuffer(content, np.uint8, offset=_HEADER.size)
    train_images, train_labels, test_images, test_labels = np.split(body, np.cumsum(lengths[:-1]))
    return EmbeddedArrays(
        # A view of bytes is read-only, and torch.from_numpy warns of that: hence the copies.
        train_images=train_images.reshape(num_train, height, width).copy(),
        train_labels=train_labels.astype(np.int64),
        test_images=test_images.reshape(num_test, height, width).copy(),
        test_labels=test_labels.astype(np.int64),
    )


def load_digits_arrays() -> EmbeddedArrays:
    """Load scikit-learn's 1,797 digits, split into 1,437 for training and 360 for the test.

    The split: a permutation of all images, drawn with PCG64 of seed 0; its first 36 images of
    each class are the test, the rest are for training, both in the order drawn. A class has 174
    to 183 images, so this is stratified to within one image a class. The same 13 people wrote the
    images of both parts, so the test says nothing about the handwriting of others.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test
    part), as scikit-learn carries it. Grey values 0..16 become `round(value * 255 / 16)`, which
    `round(value * 16 / 255)` takes back exactly.

    Returns:
        Images of 8 x 8.
    """
    # Imported here, since scikit-learn takes a second that a listing of datasets does not need.
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    # Sorted raw words are a permutation that NumPy promises to keep from release to release;
    # it does not promise that of Generator.permutation.
    words = np.random.PCG64(_DIGITS_SPLIT_SEED).random_raw(len(labels))
    order = np.argsort(words, kind="stable")
    is_test = np.zeros(len(labels), dtype=np.bool_)
    for label in range(len(DIGITS_CLASS_NAMES)):
        is_test[order[labels[order] == label][:_DIGITS_NUM_TEST_PER_CLASS]] = True
    train, test = order[~is_test[order]], order[is_test[order]]
    return EmbeddedArrays(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


def _read_verified(file: Traversable, sha256: str) -> bytes:
    """Read the bytes of a file of this package.

    Raises:
        ValueError: The file is missing, or its sha256 differs.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{file}: missing from the installed sftbench; {_REINSTALL}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{file}: damaged: its sha256 is {found}, not {sha256}; sftbench's copy must be "
            f"replaced; {_REINSTALL}"
        )
    return data
