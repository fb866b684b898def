"""Colour images of one small size."""

from __future__ import annotations

import importlib
import string
from pathlib import Path
from typing import Any

import numpy as np

from sftbench.api import Examples, Published, Split, UnavailableError
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Layout
from sftbench.builtin.datasets.published.readers import (
    arrays,
    folders,
    named,
    sample_pairs,
    seeded,
)


class Svhn(PublishedSet):
    """Digits of house numbers, cropped, 32 x 32 colour; the `extra` split is not used."""

    name = "svhn"
    summary = "SVHN, 73,257 + 26,032 digits of house numbers, 32 x 32 colour"
    native = (32, 32, 3)
    horizontal_flip = False
    published = Published(
        num_classes=10,
        num_train=73_257,
        num_test=26_032,
        images="32 x 32 colour",
        licence="non-commercial use",
        citation="Netzer et al. 2011, Reading Digits in Natural Images",
        homepage="http://ufldl.stanford.edu/housenumbers/",
        download_bytes=246_316_178,
    )
    layout = Layout(
        marks=("train_32x32.mat", "test_32x32.mat"),
        class_names=named(*string.digits),
        read=arrays("SVHN", {"split": "train"}, {"split": "test"}),
        downloads=(
            Download(
                "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
                "e26dedcc434d2e4c54c9b2d4a06d8373",
                unpack=False,
            ),
            Download(
                "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
                "eb5a983be6a315427106f1b164d9cef3",
                unpack=False,
            ),
        ),
        md5={
            "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
    )


class Stl10(PublishedSet):
    """Colour pictures of 10 things, 96 x 96; the unlabelled part is not used."""

    name = "stl10"
    summary = "STL-10, 5,000 + 8,000 pictures of 10 things, 96 x 96 colour"
    native = (96, 96, 3)
    published = Published(
        num_classes=10,
        num_train=5_000,
        num_test=8_000,
        images="96 x 96 colour",
        licence="unknown (research use)",
        citation="Coates, Lee and Ng 2011, An Analysis of Single-Layer Networks",
        homepage="https://cs.stanford.edu/~acoates/stl10/",
        download_bytes=2_640_397_119,
    )
    layout = Layout(
        marks=(
            "stl10_binary/train_X.bin",
            "stl10_binary/train_y.bin",
            "stl10_binary/test_X.bin",
            "stl10_binary/test_y.bin",
            "stl10_binary/unlabeled_X.bin",  # torchvision wants it, too
        ),
        class_names=named(
            "airplane",
            "bird",
            "car",
            "cat",
            "deer",
            "dog",
            "horse",
            "monkey",
            "ship",
            "truck",
        ),
        read=arrays("STL10", {"split": "train"}, {"split": "test"}),
        downloads=(
            Download(
                "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                "91f7769df0f17e558f3565bffb0c7dfb",
            ),
        ),
        md5={
            "stl10_binary/train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
            "stl10_binary/train_y.bin": "5a34089d4802c674881badbb80307741",
            "stl10_binary/unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
            "stl10_binary/test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
            "stl10_binary/test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
        },
    )


class EuroSat(PublishedSet):
    """Satellite pictures of land use, 64 x 64 colour.

    There is no official split: sftbench draws a fifth of each class for the test, with seed 0
    (`readers.seeded`).
    """

    name = "eurosat"
    summary = "EuroSAT, 27,000 satellite pictures, 64 x 64 colour; a seeded 80/20 split"
    native = (64, 64, 3)
    published = Published(
        num_classes=10,
        num_train=21_600,
        num_test=5_400,
        images="64 x 64 colour",
        licence="MIT",
        citation="Helber, Bischke, Dengel and Borth 2019, EuroSAT, arXiv:1709.00029",
        homepage="https://github.com/phelber/eurosat",
    )
    layout = Layout(
        marks=("eurosat/2750",),
        class_names=folders("eurosat/2750"),
        read=seeded("EuroSAT", pairs=sample_pairs, test_share=0.2),
        downloads=(
            Download(
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "c8fa014336c82ac7804f0398fcb19387",
                "eurosat",
            ),
        ),
    )


def _read_pcam(folder: Path, split: Split) -> Examples:
    """Read a split of PatchCamelyon, about 7 GB for training.

    Raises:
        UnavailableError: h5py is not installed.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError:
        raise UnavailableError("pcam needs h5py: pip install 'sftbench[pcam]'") from None
    start = folder / "pcam" / f"camelyonpatch_level_2_split_{split}"
    with h5py.File(f"{start}_x.h5") as images, h5py.File(f"{start}_y.h5") as labels:
        return Examples(
            np.asarray(images["x"], dtype=np.uint8),
            np.asarray(labels["y"], dtype=np.int64).reshape(-1),
        )


class Pcam(PublishedSet):
    """Patches of lymph nodes with and without metastases, 96 x 96 colour.

    The official training split alone is for training; its `valid` split is not used.
    """

    name = "pcam"
    summary = "PatchCamelyon, 262,144 + 32,768 patches of lymph nodes, 96 x 96 colour"
    native = (96, 96, 3)
    published = Published(
        num_classes=2,
        num_train=262_144,
        num_test=32_768,
        images="96 x 96 colour",
        licence="CC0",
        citation="Veeling et al. 2018, Rotation Equivariant CNNs, arXiv:1806.03962",
        homepage="https://github.com/basveeling/pcam",
    )
    layout = Layout(
        marks=tuple(
            f"pcam/camelyonpatch_level_2_split_{split}_{what}.h5"
            for split in ("train", "test")
            for what in ("x", "y")
        ),
        class_names=named("no tumour", "tumour"),
        read=_read_pcam,
        by_hand=(
            "pcam lies on a shared drive that wants a browser: get "
            "camelyonpatch_level_2_split_{train,test}_{x,y}.h5.gz at "
            "https://github.com/basveeling/pcam, unpack them into a folder pcam"
        ),
    )
