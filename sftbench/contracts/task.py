"""Tasks and metrics: what is predicted, how it is scored, what a score means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sftbench.contracts.backbone import BackboneInfo
from sftbench.contracts.component import Component
from sftbench.contracts.dataset import DatasetInfo, Examples
from sftbench.contracts.execution import Placement
from sftbench.contracts.strategy import View
from sftbench.records import ClassResult, MetricSpec

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Predictions:
    """The outputs of a model on one split, as they are kept.

    Attributes:
        index: int64 [N], position in the official split (or in the training split for `val`).
        targets: int64 [N].
        outputs: float32 [N, C] logits, or the task's own form.
    """

    index: NDArray[np.int64]
    targets: NDArray[np.int64]
    outputs: NDArray[np.float32]


class BatchSource(Protocol):
    """The examples of one split, ready to be drawn in batches on the device.

    Inherit it: what has a default here may be left out.

    Attributes:
        placement: Where the examples are, for the record: `device` or `stream`.
    """

    placement: str = "device"

    def __len__(self) -> int:
        """Return the number of examples of the official split."""
        ...

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Any:
        """Return model inputs of `indices` (int64 [B], on the CPU), normalised, on the device.

        Args:
            indices: Positions in the official split.
            view: `plain` is deterministic and needs no generator.
            generator: A CPU generator that decides the augmentation.
        """
        ...

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Take note of what `inputs` will be asked for next, in this order.

        Others may be asked for in between (validation). Called before the steps of a stage, and
        with nothing after the last cell: then end processes and threads that read ahead.

        Args:
            batches: The `indices` of each call.
        """
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContext:
    """What a task needs to bring examples to the device.

    Attributes:
        device: Where the cell runs.
        image_size: Pixels.
        backbone: Mean, std, interpolation.
        augment: Name of the protocol's augmentation.
        horizontal_flip: Whether a mirrored image keeps its label.
        channels_last: Memory format of image batches.
        erasing: Probability of an image to lose a box.
        placement: Where examples are to be: `device`, `stream`, or `auto`: what fits stays.
        limit: Examples that one cell uses at most; None: all.
    """

    device: torch.device
    image_size: int
    backbone: BackboneInfo
    augment: str
    horizontal_flip: bool
    channels_last: bool
    erasing: float = 0.0
    placement: Placement = "auto"
    limit: int | None = None


class Task(Component, ABC):
    """What is predicted: owns head, loss, batches, metrics and statistics.

    The methods above the line need torch; those below use numpy alone, so that reports are made
    without it. Keep torch out of the module's top.

    Attributes:
        metrics: Names of the metrics to compute, the primary one first.
        reasons: Names of the verdict reasons that apply.
        num_views: Inputs that a batch has for each example; the head brings them together again.
            Features of frozen blocks are cached only where it is 1.
    """

    metrics: ClassVar[tuple[str, ...]]
    reasons: ClassVar[frozenset[str]]
    num_views: ClassVar[int] = 1

    @abstractmethod
    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        """Build the head, features [B, D] -> outputs; called with torch's generator seeded."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean loss over the batch, a scalar."""

    @abstractmethod
    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Bring one split to the device; called once for each split and worker."""

    # ---- without torch ---------------------------------------------------------------------

    @abstractmethod
    def validation_loss(self, predictions: Predictions) -> float:
        """Return the mean loss without smoothing, for the history."""

    @abstractmethod
    def statistics(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return additive statistics of each example, float64 [N, K].

        The primary metric is a function of their sum over examples; hence its bootstrap.
        """

    @abstractmethod
    def primary_from_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the primary metric of summed statistics, [..., K] -> [...]."""

    def per_class(
        self, predictions: Predictions, info: DatasetInfo, train_counts: NDArray[np.int64]
    ) -> tuple[ClassResult, ...]:
        """Return support and recall of each class on the test split; () where it has no sense."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInput:
    """What a metric is computed from.

    Attributes:
        predictions: Of one split.
        num_classes: C.
        train_counts: int64 [C] after the variant.
    """

    predictions: Predictions
    num_classes: int
    train_counts: NDArray[np.int64]


class Metric(Component, ABC):
    """A number for one model on one split, from its predictions alone (numpy, no torch)."""

    tasks: ClassVar[tuple[str, ...]] = ("image-classification",)

    @abstractmethod
    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Return direction, range and chance level for this data set."""

    @abstractmethod
    def compute(self, data: MetricInput) -> float | None:
        """Return the metric; None where it is not defined on this data (never 0 for that)."""
