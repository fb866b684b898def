"""Data sets and variants: labelled examples, and seeded transforms of the training part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sftbench.contracts.component import Component

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "test"]


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
        targets: int64 [N] class indices; another task states its own form.
    """

    inputs: NDArray[np.uint8] | Sequence[Any]
    targets: NDArray[np.int64]


class Dataset(Component, ABC):
    """Labelled data with an official training and test split."""

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
    """

    num_classes: int
    generator: Callable[..., np.random.Generator]


class Variant(Component, ABC):
    """A seeded transform of the training split. Validation and test are never touched."""

    @abstractmethod
    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Choose and relabel training examples; called once for each cell.

        Args:
            targets: int64 [N] labels of the training part, after validation was carved from it.
            ctx: Number of classes and seeded generators.

        Raises:
            sftbench.api.RequestError: The data cannot give what the variant asks for.
        """
