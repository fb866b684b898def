"""The data sets that come with sftbench and with scikit-learn: nothing to download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftbench.api import Dataset, DatasetInfo, Examples, Published, Split, UnavailableError
from sftbench.builtin.datasets.embedded_files import (
    DIGITS_CLASS_NAMES,
    FASHION_MNIST_CLASS_NAMES,
    load_digits_arrays,
    load_fashion_mnist_mini,
)

if TYPE_CHECKING:
    from sftbench.builtin.datasets.embedded_files import EmbeddedArrays


class FashionMnistMini(Dataset):
    """Grey pictures of clothes, 28 x 28, 300 for training and 100 for the test of each class."""

    name = "fashion-mnist-mini"
    summary = "3,000 + 1,000 images of Fashion-MNIST, 10 classes, in the package"
    published = Published(
        num_classes=10,
        num_train=3000,
        num_test=1000,
        images="28 x 28 grey",
        licence="MIT",
        citation="Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
    )

    def info(self) -> DatasetInfo:
        """Describe the data without reading it."""
        return DatasetInfo(
            name=self.reference,
            class_names=FASHION_MNIST_CLASS_NAMES,
            num_train=3000,
            num_test=1000,
            horizontal_flip=True,
            image_size=64,
            limit_train=1200,
            licence="MIT",
            citation="Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
            source="chosen from the training and test files of Fashion-MNIST, packaged here",
        )

    def where(self) -> str:
        """Say that it comes with sftbench."""
        return "in sftbench"

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, 28, 28, 1].

        Raises:
            UnavailableError: The packaged file is missing or damaged.
        """
        try:
            arrays = load_fashion_mnist_mini()
        except ValueError as error:
            raise UnavailableError(str(error)) from None
        return _examples(arrays, split)


class Digits(Dataset):
    """Handwritten digits, grey, 8 x 8."""

    name = "digits"
    summary = "scikit-learn's 1,797 handwritten digits, 8 x 8 pixels"
    published = Published(
        num_classes=10,
        num_train=1437,
        num_test=360,
        images="8 x 8 grey",
        licence="BSD-3-Clause",
        citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI",
        homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html",
    )

    def info(self) -> DatasetInfo:
        """Describe the data without reading it."""
        return DatasetInfo(
            name=self.reference,
            class_names=DIGITS_CLASS_NAMES,
            num_train=1437,
            num_test=360,
            horizontal_flip=False,
            image_size=64,
            licence="BSD-3-Clause",
            citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI",
            source="sklearn.datasets.load_digits; the split is sftbench's, with writers in both",
        )

    def where(self) -> str:
        """Say that it comes with scikit-learn."""
        return "in scikit-learn"

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, 8, 8, 1]."""
        return _examples(load_digits_arrays(), split)


def _examples(arrays: EmbeddedArrays, split: Split) -> Examples:
    if split == "train":
        return Examples(arrays.train_images[..., None], arrays.train_labels)
    return Examples(arrays.test_images[..., None], arrays.test_labels)
