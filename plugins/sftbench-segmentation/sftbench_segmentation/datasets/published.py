"""Published sets of photographs with masks, in their publishers' own form."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from sftbench.api import DatasetInfo, Examples, Published, Split, UnavailableError
from sftbench.builtin.datasets.labelled import hold_out
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Files, Layout, roots
from sftbench.builtin.datasets.published.readers import named
from sftbench_segmentation.confusion import IGNORED
from sftbench_segmentation.masks import Masks, Pair, read_pairs

_VOC = "VOCdevkit/VOC2012"
_PETS = "oxford-iiit-pet"
_PENN = "PennFudanPed"
_PETS_URL = "https://www.robots.ox.ac.uk/~vgg/data/pets"


class PublishedMasks(PublishedSet):
    """A published set whose images have masks."""

    @abstractmethod
    def mask_of(self, image: Path) -> Path:
        """Return the mask's file of an image's file."""

    def recode(self, mask: Masks) -> Masks:
        """Return class indices, and 255 where a pixel is ignored, of a mask file's numbers."""
        return mask

    def info(self) -> DatasetInfo:
        """Find the data and describe it.

        Raises:
            UnavailableError: It is not here; the message says how to get it.
        """
        return replace(super().info(), task="segmentation")

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, S, S, 3] and masks uint8 [N, S, S].

        Raises:
            UnavailableError: It is not here, or not the published data.
        """
        pairs = self.pairs(self.whole_place(), split)
        return read_pairs(pairs, image_size, self.num_classes, self.recode)

    def pairs(self, folder: Path, split: Split) -> list[Pair]:
        """Return the files of a split of what is in `folder`.

        Raises:
            UnavailableError: It is not the published data.
        """
        found = self.examples(folder, split)
        paths = found.paths if isinstance(found, Files) else []
        return [Pair(path, self.mask_of(path)) for path in paths]

    def check(self, folder: Path) -> None:
        """Look for every image and mask of a folder.

        Raises:
            UnavailableError: It is not the published data.
        """
        super().check(folder)
        masks = [pair.mask for split in self.counts for pair in self.pairs(folder, split)]
        missing = [mask for mask in masks if not mask.is_file()]
        if missing:
            raise UnavailableError(f"{missing[0]}: missing, of {len(missing):,} masks")

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return a hash over the images' files and the masks'."""
        key, folder = super().cache_key(split, image_size), self.place()
        if key is None or folder is None:
            return None
        hasher = hashlib.sha256(key.encode())
        for pair in self.pairs(folder, split):
            state = pair.mask.stat() if pair.mask.exists() else None
            what = "missing" if state is None else f"{state.st_size} {state.st_mtime_ns}"
            hasher.update(f"{pair.mask}\0{what}\n".encode())
        return hasher.hexdigest()


def _listed(images: str, lists: dict[Split, str], suffix: str) -> Callable[[Path, Split], Files]:
    """Return a reader of the images that a text file names, the first word of each line."""

    def read(folder: Path, split: Split) -> Files:
        text = (folder / lists[split]).read_text(encoding="utf-8")
        names = [line.split()[0] for line in text.splitlines() if line.strip()]
        for name in names:
            if Path(name).name != name:
                raise ValueError(f"{lists[split]} names an image {name!r}")
        return _files([folder / images / f"{name}{suffix}" for name in names])

    return read


def _files(paths: list[Path]) -> Files:
    # Targets follow from the masks, when they are decoded.
    return Files(paths, np.zeros(len(paths), dtype=np.int64))


class VocSegmentation(PublishedMasks):
    """PASCAL VOC 2012: `train.txt` for training, `val.txt` as the test; no extra annotations.

    The border between things (255 in the masks) is ignored.
    """

    name = "voc-segmentation"
    summary = "PASCAL VOC 2012, 1,464 + 1,449 photographs, 20 classes and background"
    published = Published(
        num_classes=21,
        num_train=1_464,
        num_test=1_449,
        images="colour, up to 500 pixels",
        licence="Flickr terms of use (research use)",
        citation="Everingham, Eslami, Van Gool, Williams, Winn and Zisserman 2015, IJCV 111",
        homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        download_bytes=1_999_639_040,
    )
    layout = Layout(
        marks=(
            f"{_VOC}/JPEGImages",
            f"{_VOC}/SegmentationClass",
            f"{_VOC}/ImageSets/Segmentation/train.txt",
            f"{_VOC}/ImageSets/Segmentation/val.txt",
        ),
        class_names=named(
            *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
            *("chair", "cow", "dining table", "dog", "horse", "motorbike", "person"),
            *("potted plant", "sheep", "sofa", "train", "tv/monitor"),
        ),
        read=_listed(
            f"{_VOC}/JPEGImages",
            {
                "train": f"{_VOC}/ImageSets/Segmentation/train.txt",
                "test": f"{_VOC}/ImageSets/Segmentation/val.txt",
            },
            ".jpg",
        ),
        downloads=(
            Download(
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "6cd6e144f989b92b3379bac3b3de84fd",
            ),
        ),
    )

    def mask_of(self, image: Path) -> Path:
        """Return `SegmentationClass/NAME.png`."""
        return image.parent.parent / "SegmentationClass" / f"{image.stem}.png"


def _penn_fudan(folder: Path, split: Split) -> Files:
    paths = sorted((folder / _PENN / "PNGImages").glob("*.png"))
    tested = hold_out([path.stem for path in paths], [0] * len(paths))
    return _files([path for n, path in enumerate(paths) if (n in tested) == (split == "test")])


class PennFudanMasks(PublishedMasks):
    """Pedestrians of Penn and Fudan; a fifth, chosen by a hash of the names, is the test.

    The publisher's masks number the pedestrians; here all of them are one class.
    """

    name = "penn-fudan-masks"
    summary = "Penn-Fudan, 136 + 34 street scenes, pedestrians and background"
    published = Published(
        num_classes=2,
        num_train=136,
        num_test=34,
        images="colour, sizes vary",
        licence="unknown (research use)",
        citation="Wang, Shi, Song and Shen 2007, Object Detection Combining Recognition and ...",
        homepage="https://www.cis.upenn.edu/~jshi/ped_html/",
        download_bytes=53_723_336,
    )
    layout = Layout(
        marks=(f"{_PENN}/PNGImages", f"{_PENN}/PedMasks"),
        class_names=named("background", "pedestrian"),
        read=_penn_fudan,
        downloads=(Download("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip", None),),
    )

    def mask_of(self, image: Path) -> Path:
        """Return `PedMasks/NAME_mask.png`."""
        return image.parent.parent / "PedMasks" / f"{image.stem}_mask.png"

    def recode(self, mask: Masks) -> Masks:
        """Return 1 for every pedestrian, 0 for the rest."""
        return (mask > 0).astype(np.uint8)


class OxfordPetsMasks(PublishedMasks):
    """The trimaps of Oxford-IIIT Pet: pet against background; their border is ignored.

    Images without a trimap are none of its lists. Data that `oxford-pets` has serves too.
    """

    name = "oxford-pets-masks"
    summary = "Oxford-IIIT Pet trimaps, 3,680 + 3,669 photographs, pet and background"
    published = Published(
        num_classes=2,
        num_train=3_680,
        num_test=3_669,
        images="colour, sizes vary",
        licence="CC BY-SA 4.0",
        citation="Parkhi, Vedaldi, Zisserman and Jawahar 2012, Cats and Dogs",
        homepage=f"{_PETS_URL}/",
        download_bytes=811_092_049,
    )
    layout = Layout(
        marks=(
            f"{_PETS}/images",
            f"{_PETS}/annotations/trimaps",
            f"{_PETS}/annotations/trainval.txt",
            f"{_PETS}/annotations/test.txt",
        ),
        class_names=named("background", "pet"),
        read=_listed(
            f"{_PETS}/images",
            {
                "train": f"{_PETS}/annotations/trainval.txt",
                "test": f"{_PETS}/annotations/test.txt",
            },
            ".jpg",
        ),
        downloads=(
            Download(f"{_PETS_URL}/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c", _PETS),
            Download(
                f"{_PETS_URL}/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f", _PETS
            ),
        ),
    )

    def place(self) -> Path | None:
        """Return the first folder that has the data, or None."""
        shared = [root / "oxford-pets" for root in roots()]
        return super().place() or next((one for one in shared if self.layout.is_in(one)), None)

    def mask_of(self, image: Path) -> Path:
        """Return `annotations/trimaps/NAME.png`."""
        return image.parent.parent / "annotations" / "trimaps" / f"{image.stem}.png"

    def recode(self, mask: Masks) -> Masks:
        """Return 1 for the pet (1 in the file), 0 for the background (2), 255 for the border (3).

        Raises:
            ValueError: The file has another number.
        """
        if mask.size and not 1 <= mask.min() <= mask.max() <= 3:
            raise ValueError(f"numbers {mask.min()} to {mask.max()}; a trimap has 1 to 3")
        meaning = np.array([IGNORED, 1, 0, IGNORED], dtype=np.uint8)
        return np.asarray(meaning[mask])
