"""Tasks and metrics: what is predicted, how it is scored, what a score means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sftbench.contracts.backbone import Backbone, BackboneInfo, Network
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

    def by_index(self) -> Predictions:
        """Return the same rows in the order of their positions, in which records pair up."""
        order = self.index.argsort(kind="stable")
        return Predictions(self.index[order], self.targets[order], self.outputs[order])


class BatchSource(Protocol):
    """The examples of one split, ready to be drawn in batches on the device.

    Inherit it: what has a default here may be left out.

    Attributes:
        placement: Where the examples are, for the record: `device` or `stream`.
        lengths: int64 [N], where a batch takes as long as its longest example: those of similar
            length come together. None: all take the same time.
        notes: What the record should say of how examples were brought into their form, by name:
            how many texts were cut, say.
    """

    placement: str = "device"
    lengths: NDArray[np.int64] | None = None
    notes: Mapping[str, int] = MappingProxyType({})

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

    def targets(self, indices: Tensor, labels: Tensor) -> Any:
        """Return what the loss compares with, for plain views.

        Args:
            indices: Positions in the official split, int64 [B] (CPU).
            labels: int64 [B] on the device, as the variant left them.
        """
        return labels

    def batch(
        self, indices: Tensor, labels: Tensor, view: View, generator: torch.Generator | None
    ) -> tuple[Any, Any]:
        """Return inputs and what the loss compares with, where a view changes both."""
        return self.inputs(indices, view, generator), self.targets(indices, labels)

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
        component: The backbone itself, which may hold a tokenizer.
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
    component: Backbone | None = None


class Task(Component, ABC):
    """What is predicted: owns head, loss, batches, metrics and statistics.

    The methods above the line need torch; those below use numpy alone, so that reports are made
    without it. Keep torch out of the module's top.

    Attributes:
        metrics: Names of the metrics to compute, the primary one first.
        reasons: Names of the verdict reasons that apply.
        num_views: Inputs that a batch has for each example; the head brings them together again.
            Features of frozen blocks are cached only where it is 1.
        labels: Whether each example has one class, and outputs are logits of the classes: what
            losses and samplers against imbalance need.
        tolerance: How far the primary metric of summed statistics may be from the metric itself.
        mixes: Whether two inputs and their labels can be mixed (mixup, cutmix).
        augments: Names of the protocol's augmentations that its batches know; None: all.
        features_of: Name of a task whose backbones serve this one, too: where a vector of features
            is all it needs. None: only backbones that name this task do.
        units: For people: what the protocol's `image_size` counts, and what examples are.
        measures: Kinds of reliability measures that its cells can be asked for (`--drift` ...):
            `ood`, `corruptions`, `drift`, `forgetting`, `attribution`.
    """

    metrics: ClassVar[tuple[str, ...]]
    reasons: ClassVar[frozenset[str]]
    num_views: ClassVar[int] = 1
    labels: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-9
    mixes: ClassVar[bool] = True
    augments: ClassVar[frozenset[str] | None] = None
    features_of: ClassVar[str | None] = None
    units: ClassVar[tuple[str, str]] = ("px", "images")
    measures: ClassVar[frozenset[str]] = frozenset()

    def served_by(self, backbone: BackboneInfo) -> bool:
        """Tell whether a backbone has the features that the head needs."""
        return self.name in backbone.tasks or self.features_of in backbone.tasks

    @abstractmethod
    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        """Build the head, features [B, D] -> outputs; called with torch's generator seeded."""

    def head_for(
        self, network: Network, info: DatasetInfo, source: Mapping[str, Tensor] | None
    ) -> nn.Module:
        """Build the head for a network, where its width does not say all.

        Args:
            network: Its features are the head's inputs.
            info: The data set.
            source: The head that the network was trained with (`PretrainedWeights.head`), or None.
        """
        return self.head(network.feature_width, info)

    @abstractmethod
    def loss(self, outputs: Any, targets: Any, label_smoothing: float) -> Tensor:
        """Return the mean loss over the batch, a scalar.

        Args:
            outputs: Of the head; logits float [B, C] for classification.
            targets: What the batch source gives; int64 [B] for classification.
            label_smoothing: Of the protocol.
        """

    def kept(self, outputs: Any, targets: Any) -> Tensor:
        """Return what is kept of a batch's outputs in eval mode, float32 [B, W].

        Metrics know nothing else: what they compare with beyond a class index is part of it.

        Args:
            outputs: Of the head.
            targets: What the batch source gives.
        """
        kept: Tensor = outputs.float()
        return kept

    @abstractmethod
    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Bring one split to the device; called once for each split and worker."""

    # ---- without torch ---------------------------------------------------------------------

    @abstractmethod
    def validation_loss(self, predictions: Predictions) -> float | None:
        """Return the mean loss without smoothing, for the history; None where none is known."""

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
        validation: Of the same model on the validation split; None where there is none.
    """

    predictions: Predictions
    num_classes: int
    train_counts: NDArray[np.int64]
    validation: Predictions | None = None


class Metric(Component, ABC):
    """A number for one model on one split, from its predictions alone (numpy, no torch)."""

    tasks: ClassVar[tuple[str, ...]] = ("image-classification",)

    @abstractmethod
    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Return direction, range and chance level for this data set."""

    @abstractmethod
    def compute(self, data: MetricInput) -> float | None:
        """Return the metric; None where it is not defined on this data (never 0 for that)."""
