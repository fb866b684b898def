"""Data sets and variants: labelled examples, and seeded transforms of the training part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sftbench.contracts.component import Component
from sftbench.errors import RequestError, UnavailableError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "test"]

FetchProgress = Callable[[str, int, int | None], None]
"""Is told what is fetched, the bytes done, and the bytes in all (None: not known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What is known of a published data set before it is here, for `sftbench data list`.

    Attributes:
        num_classes: Number of classes.
        num_train: Examples of the official training split.
        num_test: Examples of the official test split.
        images: Their form, for people: `32 x 32 colour`.
        licence: Its licence, as the source states it.
        citation: Whom to cite.
        homepage: Where it is described.
        download_bytes: Size of the download; None: not known.
        fingerprints: Of each split's decoded examples, where they are known (`sftbench data
            verify` prints them): other content is not the published data.
    """

    num_classes: int
    num_train: int
    num_test: int
    images: str
    licence: str
    citation: str
    homepage: str
    download_bytes: int | None = None
    fingerprints: Mapping[Split, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """What a plan must know of a data set before it is loaded.

    Attributes:
        name: Its reference.
        class_names: One for each class, in the order of the targets.
        num_train: Examples of the official training split.
        num_test: Examples of the official test split.
        task: Name of the task.
        horizontal_flip: Whether a mirrored image keeps its label (False for digits and text).
        image_size: Pixels to train at when nobody says; None: the backbone's own size.
        limit_train: Training examples to use when nobody says; None: all.
        limit_test: Test examples to use when nobody says; None: all.
        licence: Its licence, as the source states it.
        citation: Whom to cite.
        source: Where the data came from.
    """

    name: str
    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    task: str = "image-classification"
    horizontal_flip: bool = False
    image_size: int | None = None
    limit_train: int | None = None
    limit_test: int | None = None
    licence: str = "unknown"
    citation: str = ""
    source: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one split, decoded.

    Attributes:
        inputs: For images uint8 [N, H, W, C] with C = 1 or 3; another task states its own form.
        targets: int64 [N] class indices. They stratify splits and variants, whatever the task.
        unreadable: A line `FILE: why` for each example that is left out because it cannot be
            read. Unless the protocol has `skip_unreadable`, one is enough to stop the run.
        groups: int64 [N], or None. Examples of one group (views of one image) never stand on
            both sides of the line between training and validation; every group has the same
            number of examples of each class.
        truth: What is predicted of each example, where a class index does not say it (boxes,
            masks, several labels): N items in the task's own form. None: the targets say it.
        class_counts: int64 [N, C], objects of each class in each example, where an example has
            not one of one class; training counts are its sums. None: the targets say it.
    """

    inputs: NDArray[Any] | Sequence[Any]
    targets: NDArray[np.int64]
    unreadable: tuple[str, ...] = ()
    groups: NDArray[np.int64] | None = None
    truth: NDArray[Any] | Sequence[Any] | None = None
    class_counts: NDArray[np.int64] | None = None


class Dataset(Component, ABC):
    """Labelled data with an official training and test split.

    Attributes:
        published: What is known of it before it is here; None for a person's own data.
        pretext: Whether it is made of the images of another data set, named behind its colon, and
            needs no labels: an objective of `sftbench pretrain`.
    """

    published: ClassVar[Published | None] = None
    pretext: ClassVar[bool] = False

    @abstractmethod
    def info(self) -> DatasetInfo:
        """Describe the data; called when the plan is made, in every process. Keep it quick.

        Raises:
            sftbench.api.UnavailableError: The data is not here; the message says how to get it.
        """

    @abstractmethod
    def load(self, split: Split, image_size: int) -> Examples:
        """Read and decode one split; called once for each split and worker.

        Args:
            split: `train` or `test`. Validation is carved from `train` by sftbench.
            image_size: Pixels. Images of differing sizes are brought to this square size
                (shorter side resized, centre cropped); images of one size stay as they are.
        """

    def cache_key(self, split: Split, image_size: int) -> str | None:
        """Return what decides the result of `load`, where decoding takes long; None: no cache.

        What `load` returns is then kept in the cache as arrays under a hash of this text (paths,
        sizes and times of files, not their content).
        """
        return None

    def images_of(self) -> Dataset:
        """Return the data set whose images these are: of a pretext its source, else this one."""
        return self

    def where(self) -> str | None:
        """Say where the data is on this machine, or None; quick, and without importing torch."""
        try:
            return self.info().source or "here"
        except UnavailableError:
            return None

    def fetch(self, progress: FetchProgress) -> None:
        """Bring the data to this machine, whole and verified, or raise.

        Raises:
            sftbench.api.RequestError: There is nothing to fetch.
            sftbench.api.UnavailableError: It cannot be had here; the message says what can be done.
        """
        raise RequestError(f"dataset {self.reference!r} is not one that can be fetched")

    def import_from(self, path: Path) -> None:
        """Take over, verified, what a person already has.

        Args:
            path: The file or folder.

        Raises:
            sftbench.api.RequestError: This data set takes none.
            sftbench.api.UnavailableError: It is not this data set, or not whole.
        """
        raise RequestError(f"dataset {self.reference!r} is not one that can be imported")


@dataclass(frozen=True, slots=True)
class Subset:
    """What a variant keeps of the training part.

    Attributes:
        indices: int64 [n], positions in the targets that the variant was given.
        targets: int64 [n], the labels to train with (they differ from the given ones where the
            variant adds noise).
    """

    indices: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VariantContext:
    """What a variant may know.

    Attributes:
        num_classes: Number of classes of the data set.
        generator: `generator("class", 3)` gives a numpy Generator that depends on the data set,
            the seed index and these keys alone: the same subset for every strategy.
        class_counts: int64 [N, C], objects of each class in each of the given examples; None where
            each is one of its target's class.
    """

    num_classes: int
    generator: Callable[..., np.random.Generator]
    class_counts: NDArray[np.int64] | None = None


class Variant(Component, ABC):
    """A seeded transform of the training split. Validation and test are never touched.

    Attributes:
        keeps_all: Whether it leaves out no example, whatever its options are.
    """

    keeps_all: bool = False

    @abstractmethod
    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Choose and relabel training examples; called once for each cell.

        Args:
            targets: int64 [N] labels of the training part, after validation was carved from it.
            ctx: Number of classes and seeded generators.

        Raises:
            sftbench.api.RequestError: The data cannot give what the variant asks for.
        """
