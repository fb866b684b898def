"""ImageNet-1k from the folder that a person has. Its owners let nobody fetch it by a program."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from sftbench.api import Dataset, DatasetInfo, Examples, Published, Split, UnavailableError
from sftbench.builtin.datasets.arrays import PathOptions, existing_folder
from sftbench.builtin.datasets.decoding import DECODER_VERSION, decode_all
from sftbench.builtin.datasets.published.layout import Files

_LAYOUT: Final = "ImageNet's train/WNID/IMAGE and val/WNID/IMAGE"
_PARTS: Final[dict[Split, str]] = {"train": "train", "test": "val"}
_SUFFIXES: Final = frozenset({".jpeg", ".jpg", ".png"})


class ImageNet(Dataset):
    """ImageNet-1k (ILSVRC 2012): `train/WNID/IMAGE` and `val/WNID/IMAGE`; `val` is the test split.

    The classes stand in the order of their WordNet ids, as every ImageNet head has them. Fewer
    classes, or other ones: `folder:PATH`.
    """

    name = "imagenet"
    summary = "ImageNet-1k, 1,281,167 + 50,000 photographs, from a folder of yours"
    options_model = PathOptions
    argument = "path"
    options: PathOptions
    published = Published(
        num_classes=1_000,
        num_train=1_281_167,
        num_test=50_000,
        images="colour, sizes vary",
        licence="non-commercial research",
        citation="Russakovsky et al. 2015, ImageNet Challenge, arXiv:1409.0575",
        homepage="https://www.image-net.org/download.php",
    )

    def info(self) -> DatasetInfo:
        """Look for the folders of the classes; no file is counted.

        Raises:
            UnavailableError: The layout is not as it should be.
        """
        folder = self._folder()
        for part in _PARTS.values():
            _check_classes(folder / part)
        return DatasetInfo(
            name=self.reference,
            class_names=_class_names(),
            num_train=self.published.num_train,
            num_test=self.published.num_test,
            horizontal_flip=True,
            licence=self.published.licence,
            citation=self.published.citation,
            source=f"image files in {self.options.path}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Decode a split to RGB uint8 [N, S, S, 3].

        Raises:
            UnavailableError: The layout is not as it should be, or images are missing.
        """
        found = self._files(split)
        images, kept, unreadable = decode_all(found.paths, image_size)
        return Examples(images, found.targets[kept], unreadable=unreadable)

    def cache_key(self, split: Split, image_size: int) -> str:
        """Return names, sizes and times of the files."""
        hasher = hashlib.sha256(f"{self.name} {split} {image_size} {DECODER_VERSION}".encode())
        for path in self._files(split).paths:
            state = path.stat()
            hasher.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        return hasher.hexdigest()

    def _folder(self) -> Path:
        return existing_folder(self.options.path, _LAYOUT)

    def _files(self, split: Split) -> Files:
        part = self._folder() / _PARTS[split]
        _check_classes(part)
        paths: list[Path] = []
        targets: list[int] = []
        for label, wnid in enumerate(_wnids()):
            images = sorted(
                path for path in (part / wnid).iterdir() if path.suffix.lower() in _SUFFIXES
            )
            paths += images
            targets += [label] * len(images)
        num = self.published.num_train if split == "train" else self.published.num_test
        if len(paths) != num:
            raise UnavailableError(
                f"{part}: {len(paths):,} images, ImageNet has {num:,}; complete it, or use "
                f"folder:{self.options.path}"
            )
        return Files(paths, np.array(targets, dtype=np.int64))


def _check_classes(part: Path) -> None:
    """Compare the folders in `part` with the 1,000 ids.

    Raises:
        UnavailableError: They differ.
    """
    try:
        found = {entry.name for entry in part.iterdir() if not entry.name.startswith(".")}
    except OSError as error:
        raise UnavailableError(f"{part}: {error.strerror}; expected {_LAYOUT}") from None
    missing = [wnid for wnid in _wnids() if wnid not in found]
    if missing:
        raise UnavailableError(
            f"{part}: {len(missing):,} of 1,000 folders are missing, {missing[0]} is the first; "
            f"expected {_LAYOUT}"
        )


def _wnids() -> list[str]:
    from timm import data

    info: Any = data.ImageNetInfo()  # type: ignore[attr-defined]
    return list(info.label_names())


def _class_names() -> tuple[str, ...]:
    """Return short names, all different, in the order of the ids."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
