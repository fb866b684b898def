"""Published sets of photographs with boxes, in their publishers' own form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from sftbench.api import DatasetInfo, Examples, Published, Split, UnavailableError
from sftbench.builtin.datasets.decoding import read_image
from sftbench.builtin.datasets.labelled import hold_out
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Files, Layout
from sftbench.builtin.datasets.published.readers import named
from sftbench_detection.datasets import voc_files
from sftbench_detection.datasets.instances import below, read_instances
from sftbench_detection.datasets.labelled import (
    USUAL_SIZE,
    Labelled,
    Listing,
    Objects,
    examples_of,
    key_of,
)

Parts = Mapping[Split, list[Labelled]]

_PENN: Final = "PennFudanPed"
_COCO_URL: Final = "http://images.cocodataset.org"
_VOC_URL: Final = "https://thor.robots.ox.ac.uk/pascal/VOC"
_VOC: Final = "Everingham, Van Gool, Williams, Winn and Zisserman 2010, IJCV 88"


class PublishedBoxes(PublishedSet):
    """A published set whose images have boxes; a subclass declares it and does nothing.

    Attributes:
        parts: Gives the images of both splits of what is in a folder.
    """

    parts: ClassVar[Callable[[Path], Parts]]

    def info(self) -> DatasetInfo:
        """Find the data and describe it.

        Raises:
            UnavailableError: It is not here; the message says how to get it.
        """
        return replace(super().info(), task="detection", image_size=USUAL_SIZE)

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, S, S, 3] with their truth.

        Raises:
            UnavailableError: It is not here, or not the published data.
        """
        return examples_of(self._listing(self.whole_place()), split, image_size)

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return what decides the decoded images and boxes."""
        folder = self.place()
        if folder is None:
            return None
        return key_of(self.reference, self._listing(folder), split, image_size)

    def _listing(self, folder: Path) -> Listing:
        for split in self.counts:
            self.examples(folder, split)  # as many as are published
        return Listing(self.class_names(folder), type(self).parts(folder))


def _files_of(parts: Callable[[Path], Parts]) -> Callable[[Path, Split], Files]:
    """Return a reader of the images' files; the targets follow from their boxes later."""

    def read(folder: Path, split: Split) -> Files:
        found = parts(folder)[split]
        return Files([one.file for one in found], np.zeros(len(found), dtype=np.int64))

    return read


@functools.lru_cache(maxsize=2)
def _penn_fudan(folder: Path) -> Parts:
    images = sorted((folder / _PENN / "PNGImages").glob("*.png"))
    found = [_pedestrians(image) for image in images]
    tested = hold_out([image.stem for image in images], [0] * len(images))
    return {
        "train": [one for place, one in enumerate(found) if place not in tested],
        "test": [one for place, one in enumerate(found) if place in tested],
    }


def _pedestrians(image: Path) -> Labelled:
    """Return the boxes around the numbered pedestrians of an image's mask."""
    file = image.parent.parent / "PedMasks" / f"{image.stem}_mask.png"
    nothing = Objects(str(file), 1, 1).boxes()
    try:
        mask = read_image(file, np.asarray)
    except UnavailableError as error:
        return Labelled(image, nothing, str(error))
    if mask.ndim != 2:
        return Labelled(image, nothing, f"{file}: a mask has one channel, not {mask.shape[2:]}")
    objects = Objects(str(file), mask.shape[1], mask.shape[0])
    for number in np.unique(mask[mask > 0]).tolist():
        rows, columns = np.nonzero(mask == number)
        x, y = int(columns.min()), int(rows.min())
        box = (x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)
        objects.add(f"pedestrian {number}", box, 0, area=len(rows))
    return Labelled(image, objects.boxes(), objects.problem)


class PennFudanBoxes(PublishedBoxes):
    """Pedestrians of Penn and Fudan; a fifth, chosen by a hash of the names, is the test.

    There is no official split. Boxes are those of the masks, as in torchvision's tutorial.
    """

    name = "penn-fudan-boxes"
    summary = "Penn-Fudan, 136 + 34 street scenes with boxes of pedestrians"
    published = Published(
        num_classes=1,
        num_train=136,
        num_test=34,
        images="colour, sizes vary",
        licence="unknown (research use)",
        citation="Wang, Shi, Song and Shen 2007, Object Detection Combining Recognition and ...",
        homepage="https://www.cis.upenn.edu/~jshi/ped_html/",
        download_bytes=53_723_336,
    )
    parts = staticmethod(_penn_fudan)
    layout = Layout(
        marks=(f"{_PENN}/PNGImages", f"{_PENN}/PedMasks"),
        class_names=named("pedestrian"),
        read=_files_of(_penn_fudan),
        downloads=(Download("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip", None),),
    )


@functools.lru_cache(maxsize=2)
def _voc2007(folder: Path) -> Parts:
    place = folder / "VOCdevkit" / "VOC2007"
    return {"train": voc_files.listed(place, "trainval"), "test": voc_files.listed(place, "test")}


@functools.lru_cache(maxsize=2)
def _voc2012(folder: Path) -> Parts:
    place = folder / "VOCdevkit" / "VOC2012"
    return {"train": voc_files.listed(place, "train"), "test": voc_files.listed(place, "val")}


def _voc_marks(year: int, *lists: str) -> tuple[str, ...]:
    place = f"VOCdevkit/VOC{year}"
    named_lists = (f"ImageSets/Main/{name}.txt" for name in lists)
    return tuple(f"{place}/{part}" for part in ("JPEGImages", "Annotations", *named_lists))


class Voc2007(PublishedBoxes):
    """PASCAL VOC 2007: `trainval` for training, its published `test` as the test."""

    name = "voc2007-boxes"
    summary = "PASCAL VOC 2007, 5,011 + 4,952 photographs, boxes of 20 classes"
    published = Published(
        num_classes=20,
        num_train=5_011,
        num_test=4_952,
        images="colour, up to 500 pixels",
        licence="Flickr terms of use (research use)",
        citation=_VOC,
        homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
        download_bytes=911_180_800,
    )
    parts = staticmethod(_voc2007)
    layout = Layout(
        marks=_voc_marks(2007, "trainval", "test"),
        class_names=named(*voc_files.CLASSES),
        read=_files_of(_voc2007),
        downloads=(
            Download(
                f"{_VOC_URL}/voc2007/VOCtrainval_06-Nov-2007.tar",
                "c52e279531787c972589f7e41ab4ae64",
            ),
            Download(
                f"{_VOC_URL}/voc2007/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"
            ),
        ),
    )


class Voc2012(PublishedBoxes):
    """PASCAL VOC 2012: `train` for training, `val` as the test; its own test is not published."""

    name = "voc2012-boxes"
    summary = "PASCAL VOC 2012, 5,717 + 5,823 photographs, boxes of 20 classes"
    published = Published(
        num_classes=20,
        num_train=5_717,
        num_test=5_823,
        images="colour, up to 500 pixels",
        licence="Flickr terms of use (research use)",
        citation=_VOC,
        homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        download_bytes=1_999_639_040,
    )
    parts = staticmethod(_voc2012)
    layout = Layout(
        marks=_voc_marks(2012, "train", "val"),
        class_names=named(*voc_files.CLASSES),
        read=_files_of(_voc2012),
        downloads=(
            Download(
                f"{_VOC_URL}/voc2012/VOCtrainval_11-May-2012.tar",
                "6cd6e144f989b92b3379bac3b3de84fd",
            ),
        ),
    )


@functools.lru_cache(maxsize=2)
def _coco2017(folder: Path) -> Parts:
    found: dict[Split, list[Labelled]] = {}
    splits: dict[Split, str] = {"train": "train2017", "test": "val2017"}
    for split, word in splits.items():
        file = folder / "annotations" / f"instances_{word}.json"
        place = functools.partial(_image_below, folder / word, file)
        # A few published boxes have no area.
        found[split] = list(read_instances(file, place, lenient=True).images)
    return found


def _image_below(folder: Path, file: Path, name: str) -> Path:
    return below(folder, name, file)


class Coco2017(PublishedBoxes):
    """COCO 2017: `train2017` for training, `val2017` as the test; its own test is not published.

    Decoding the whole takes 36 GB of memory at 320 pixels; `coco:PATH` takes a smaller part of it.
    """

    name = "coco2017"
    summary = "COCO 2017, 118,287 + 5,000 photographs, boxes of 80 classes"
    published = Published(
        num_classes=80,
        num_train=118_287,
        num_test=5_000,
        images="colour, sizes vary",
        licence="annotations CC BY 4.0; images Creative Commons, by image (Flickr)",
        citation="Lin et al. 2014, Microsoft COCO: Common Objects in Context, arXiv:1405.0312",
        homepage="https://cocodataset.org/",
        download_bytes=20_403_000_000,
    )
    parts = staticmethod(_coco2017)
    layout = Layout(
        marks=(
            "annotations/instances_train2017.json",
            "annotations/instances_val2017.json",
            "train2017",
            "val2017",
        ),
        class_names=named(
            *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
            *("boat", "traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
            *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra"),
            *("giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
            *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove"),
            *("skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup"),
            *("fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange"),
            *("broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
            *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
            *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
            *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
            *("hair drier", "toothbrush"),
        ),
        read=_files_of(_coco2017),
        downloads=(
            Download(
                f"{_COCO_URL}/annotations/annotations_trainval2017.zip",
                "f4bbac642086de4f52a3fdda2de5fa2c",
            ),
            Download(f"{_COCO_URL}/zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80"),
            Download(f"{_COCO_URL}/zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2"),
        ),
    )
