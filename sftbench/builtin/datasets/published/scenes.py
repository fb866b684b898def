"""Photographs of things and places in general; where there is no official split, a drawn one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftbench.api import Published
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Layout
from sftbench.builtin.datasets.published.readers import (
    file_pairs,
    files,
    folders,
    lines,
    named,
    seeded,
)


class Imagenette(PublishedSet):
    """Ten easy classes of ImageNet, in full size; `val` is the test split."""

    name = "imagenette"
    summary = "Imagenette, 9,469 + 3,925 photographs of ten classes of ImageNet"
    published = Published(
        num_classes=10,
        num_train=9_469,
        num_test=3_925,
        images="colour, sizes vary",
        licence="Apache-2.0; images as ImageNet",
        citation="Howard 2019, Imagenette",
        homepage="https://github.com/fastai/imagenette",
        download_bytes=1_557_161_267,
    )
    layout = Layout(
        marks=("imagenette2/train", "imagenette2/val"),
        class_names=named(
            "tench",
            "English springer",
            "cassette player",
            "chain saw",
            "church",
            "French horn",
            "garbage truck",
            "gas pump",
            "golf ball",
            "parachute",
        ),
        read=files(
            "Imagenette", ({"split": "train"},), ({"split": "val"},), ("_samples", "_samples")
        ),
        downloads=(
            Download(
                "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz",
                "fe2fc210e6bb7c5664d602c3cd71e612",
            ),
        ),
    )


class Country211(PublishedSet):
    """Photographs of 211 countries; train and valid (150 and 50 of each) are for training."""

    name = "country211"
    summary = "Country211, 42,200 + 21,100 photographs of 211 countries"
    published = Published(
        num_classes=211,
        num_train=42_200,
        num_test=21_100,
        images="colour, sizes vary",
        licence="Creative Commons, by image (YFCC100M)",
        citation="Radford et al. 2021, Learning Transferable Visual Models, arXiv:2103.00020",
        homepage="https://github.com/openai/CLIP/blob/main/data/country211.md",
    )
    layout = Layout(
        marks=("country211/train", "country211/valid", "country211/test"),
        class_names=folders("country211/train"),
        read=files(
            "Country211",
            ({"split": "train"}, {"split": "valid"}),
            ({"split": "test"},),
            ("samples", "samples"),
        ),
        downloads=(
            Download(
                "https://openaipublic.azureedge.net/clip/data/country211.tgz",
                "84988d7644798601126c29e9877aab6a",
            ),
        ),
    )


class Sun397(PublishedSet):
    """Scenes of 397 kinds.

    Its official partitions, 50 images of each class on either side, are no part of the download:
    sftbench draws 50 and 50 with seed 0 (`readers.seeded`).
    """

    name = "sun397"
    summary = "SUN397, a seeded 19,850 + 19,850 of 108,754 photographs of scenes"
    published = Published(
        num_classes=397,
        num_train=19_850,
        num_test=19_850,
        images="colour, sizes vary",
        licence="unknown (research use)",
        citation="Xiao, Hays, Ehinger, Oliva and Torralba 2010, SUN Database",
        homepage="https://vision.princeton.edu/projects/2010/SUN/",
    )
    layout = Layout(
        marks=("SUN397/ClassName.txt",),
        class_names=lines("SUN397/ClassName.txt", lambda line: line.strip()[3:]),
        read=seeded("SUN397", pairs=file_pairs, num_train=50, num_test=50),
        downloads=(
            Download(
                "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
                "8ca2778205c41d23104230ba66911c7a",
            ),
        ),
    )


def _caltech_pairs(made: Any) -> Iterator[tuple[Path, int]]:
    for number, label in zip(made.index, made.y, strict=True):
        folder = Path(made.root, "101_ObjectCategories", made.categories[label])
        yield folder / f"image_{number:04d}.jpg", label


class Caltech101(PublishedSet):
    """Things of 101 kinds, without the background class.

    There is no official split: sftbench draws 30 images of each class for training, as is usual,
    with seed 0 (`readers.seeded`); all others are the test.
    """

    name = "caltech101"
    summary = "Caltech-101, 8,677 photographs; a seeded split with 30 of each class to train"
    published = Published(
        num_classes=101,
        num_train=3_030,
        num_test=5_647,
        images="colour or grey, about 300 x 200",
        licence="CC BY 4.0",
        citation="Fei-Fei, Fergus and Perona 2004, Learning Generative Visual Models",
        homepage="https://data.caltech.edu/records/mzrjq-6wc02",
    )
    layout = Layout(
        marks=("caltech101/101_ObjectCategories",),
        class_names=folders("caltech101/101_ObjectCategories", without="BACKGROUND_Google"),
        read=seeded("Caltech101", pairs=_caltech_pairs, num_train=30),
        downloads=(
            Download(
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "3138e1922a9193bfa496528edbbc45d0",
                "caltech101",
                then="caltech-101/*.gz",
            ),
        ),
    )
