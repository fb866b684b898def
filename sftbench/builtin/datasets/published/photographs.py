"""Photographs of varying sizes; they are decoded to squares of the size that training has.

Where an official validation split exists, it is part of the training split here, because sftbench
carves its own validation from that.
"""

from __future__ import annotations

from pathlib import Path

from sftbench.api import Published
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Layout
from sftbench.builtin.datasets.published.readers import (
    attribute,
    files,
    folders,
    lines,
    named,
)

_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"


class Flowers102(PublishedSet):
    """Flowers of 102 kinds; train and val (10 of each kind both) are for training."""

    name = "flowers102"
    summary = "Oxford 102 Flowers, 2,040 + 6,149 photographs"
    published = Published(
        num_classes=102,
        num_train=2_040,
        num_test=6_149,
        images="colour, sizes vary",
        licence="unknown (research use)",
        citation="Nilsback and Zisserman 2008, Automated Flower Classification",
        homepage=f"{_VGG}/flowers/102/",
        download_bytes=344_878_000,
    )
    layout = Layout(
        marks=("flowers-102/jpg", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
        class_names=attribute("Flowers102"),
        read=files("Flowers102", ({"split": "train"}, {"split": "val"}), ({"split": "test"},)),
        downloads=(
            Download(
                f"{_VGG}/flowers/102/102flowers.tgz",
                "52808999861908f626f3c1f4e79d11fa",
                "flowers-102",
            ),
            Download(
                f"{_VGG}/flowers/102/imagelabels.mat",
                "e0620be6f572b9609742df49c70aed4d",
                "flowers-102",
                unpack=False,
            ),
            Download(
                f"{_VGG}/flowers/102/setid.mat",
                "a5357ecc9cb78c4bef273ce3793fc85c",
                "flowers-102",
                unpack=False,
            ),
        ),
        md5={
            "flowers-102/imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
            "flowers-102/setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
        },
    )


def _breeds(folder: Path) -> tuple[str, ...]:
    """Return the 37 breeds of `trainval.txt`, whose lines are `NAME_NUMBER LABEL ...`."""
    names = {}
    text = (folder / "oxford-iiit-pet/annotations/trainval.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        image, label, *_ = line.split()
        names[int(label)] = image.rpartition("_")[0].replace("_", " ").title()
    return tuple(names[label] for label in sorted(names))


class OxfordPets(PublishedSet):
    """Cats and dogs of 37 breeds."""

    name = "oxford-pets"
    summary = "Oxford-IIIT Pet, 3,680 + 3,669 photographs of 37 breeds"
    published = Published(
        num_classes=37,
        num_train=3_680,
        num_test=3_669,
        images="colour, sizes vary",
        licence="CC BY-SA 4.0",
        citation="Parkhi, Vedaldi, Zisserman and Jawahar 2012, Cats and Dogs",
        homepage=f"{_VGG}/pets/",
        download_bytes=811_092_049,
    )
    layout = Layout(
        marks=(
            "oxford-iiit-pet/images",
            "oxford-iiit-pet/annotations/trainval.txt",
            "oxford-iiit-pet/annotations/test.txt",
        ),
        class_names=_breeds,
        read=files(
            "OxfordIIITPet", ({"split": "trainval"},), ({"split": "test"},), ("_images", "_labels")
        ),
        downloads=(
            Download(
                f"{_VGG}/pets/data/images.tar.gz",
                "5c4f3ee8e5d25df40f4fd59a7f44e54c",
                "oxford-iiit-pet",
            ),
            Download(
                f"{_VGG}/pets/data/annotations.tar.gz",
                "95a8c909bbe2e81eed6a22bccdf3f68f",
                "oxford-iiit-pet",
            ),
        ),
    )


class Food101(PublishedSet):
    """Dishes of 101 kinds; the training labels are noisy on purpose."""

    name = "food101"
    summary = "Food-101, 75,750 + 25,250 photographs of dishes"
    published = Published(
        num_classes=101,
        num_train=75_750,
        num_test=25_250,
        images="colour, up to 512 pixels",
        licence="unknown (research use)",
        citation="Bossard, Guillaumin and Van Gool 2014, Food-101",
        homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        download_bytes=4_996_278_331,
    )
    layout = Layout(
        marks=("food-101/meta/train.json", "food-101/meta/test.json", "food-101/images"),
        class_names=folders("food-101/images"),
        read=files("Food101", ({"split": "train"},), ({"split": "test"},)),
        downloads=(
            Download(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                "85eeb15f3717b99a5da872d97d918f87",
            ),
        ),
    )


class Dtd(PublishedSet):
    """Textures that 47 words describe; the first of its ten partitions, train and val joined."""

    name = "dtd"
    summary = "Describable Textures, 3,760 + 1,880 photographs, partition 1"
    published = Published(
        num_classes=47,
        num_train=3_760,
        num_test=1_880,
        images="colour, 300 to 640 pixels",
        licence="research use",
        citation="Cimpoi, Maji, Kokkinos, Mohamed and Vedaldi 2014, Describing Textures",
        homepage=f"{_VGG}/dtd/",
        download_bytes=625_239_812,
    )
    layout = Layout(
        marks=(
            "dtd/dtd/labels/train1.txt",
            "dtd/dtd/labels/val1.txt",
            "dtd/dtd/labels/test1.txt",
            "dtd/dtd/images",
        ),
        class_names=folders("dtd/dtd/images"),
        read=files("DTD", ({"split": "train"}, {"split": "val"}), ({"split": "test"},)),
        downloads=(
            Download(
                f"{_VGG}/dtd/download/dtd-r1.0.1.tar.gz", "fff73e5086ae6bdbea199a49dfb8a4c1", "dtd"
            ),
        ),
    )


class Gtsrb(PublishedSet):
    """German traffic signs of 43 kinds, whose names are their numbers."""

    name = "gtsrb"
    summary = "GTSRB, 26,640 + 12,630 German traffic signs"
    horizontal_flip = False
    published = Published(
        num_classes=43,
        num_train=26_640,
        num_test=12_630,
        images="colour, 15 to 250 pixels",
        licence="unknown (research use)",
        citation="Stallkamp, Schlipsing, Salmen and Igel 2012, Man vs. computer",
        homepage="https://benchmark.ini.rub.de/",
        download_bytes=276_568_468,
    )
    layout = Layout(
        marks=("gtsrb/GTSRB/Training", "gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv"),
        class_names=named(*(str(number) for number in range(43))),
        read=files("GTSRB", ({"split": "train"},), ({"split": "test"},), ("_samples", "_samples")),
        downloads=(
            Download(
                f"{_GTSRB}/GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478", "gtsrb"
            ),
            Download(
                f"{_GTSRB}/GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", "gtsrb"
            ),
            Download(
                f"{_GTSRB}/GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", "gtsrb"
            ),
        ),
    )


class FgvcAircraft(PublishedSet):
    """Aircraft of 100 variants; train and val are for training."""

    name = "fgvc-aircraft"
    summary = "FGVC-Aircraft, 6,667 + 3,333 photographs of 100 variants"
    published = Published(
        num_classes=100,
        num_train=6_667,
        num_test=3_333,
        images="colour, about 1000 pixels, a line of text below",
        licence="non-commercial research",
        citation="Maji, Rahtu, Kannala, Blaschko and Vedaldi 2013, arXiv:1306.5151",
        homepage=f"{_VGG}/fgvc-aircraft/",
        download_bytes=2_753_340_328,
    )
    layout = Layout(
        marks=(
            "fgvc-aircraft-2013b/data/variants.txt",
            "fgvc-aircraft-2013b/data/images_variant_trainval.txt",
            "fgvc-aircraft-2013b/data/images_variant_test.txt",
            "fgvc-aircraft-2013b/data/images",
        ),
        class_names=lines("fgvc-aircraft-2013b/data/variants.txt"),
        read=files("FGVCAircraft", ({"split": "trainval"},), ({"split": "test"},)),
        downloads=(Download(f"{_VGG}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz", None),),
    )
