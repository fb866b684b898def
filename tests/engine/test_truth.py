"""A task whose truth is more than one class: where an image's bright corner lies.

Nothing of it is known to the core. Targets come as points, a mirrored image mirrors its point, the
head knows the network, and what is kept of an example is its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sftbench.api import (
    BatchContext,
    BatchSource,
    Component,
    Dataset,
    DatasetInfo,
    Examples,
    Metric,
    MetricInput,
    MetricSpec,
    Network,
    Predictions,
    RequestError,
    Split,
    Task,
    View,
)
from sftbench.testing import run_tiny
from sftbench.testing.tiny import TinyBackbone

SIZE = 32


class Corners(Dataset):
    name = "corners"
    summary = "a bright spot"
    longest = 0

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            name="corners", class_names=("left", "right"), num_train=96, num_test=32,
            task="pointing", horizontal_flip=True, image_size=SIZE,
        )  # fmt: skip

    def load(self, split: Split, image_size: int) -> Examples:
        rng = np.random.default_rng(len(split))
        num = 96 if split == "train" else 32
        images = rng.integers(0, 60, (num, SIZE, SIZE, 3), dtype=np.uint8)
        places = rng.integers(0, SIZE - 6, (num, 2))
        for image, (y, x) in zip(images, places, strict=True):
            image[y : y + 6, x : x + 6] = 255
        points = (places + 3.0) / SIZE
        targets = (points[:, 1] > 0.5).astype(np.int64)
        counts = np.stack([1 + targets, 2 - targets], axis=1).astype(np.int64)
        return Examples(images, targets, truth=points.astype(np.float32), class_counts=counts)


class PointBatches(BatchSource):
    """Images, and points [B, 2]: a weak view is mirrored together with its point."""

    def __init__(self, examples: Examples) -> None:
        self.images = torch.from_numpy(np.asarray(examples.inputs))
        self.points = torch.from_numpy(np.asarray(examples.truth))
        self.lengths = np.arange(len(self.images)) % 5
        self.notes = {"bright": len(self.images)}

    def __len__(self) -> int:
        return len(self.images)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        return self.images[indices].permute(0, 3, 1, 2).float() / 255.0

    def targets(self, indices: Tensor, labels: Tensor) -> Tensor:
        return self.points[indices]

    def batch(
        self, indices: Tensor, labels: Tensor, view: View, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        images, points = self.inputs(indices, view, generator), self.points[indices].clone()
        turned = torch.rand(len(indices), generator=generator) < 0.5
        images[turned] = images[turned].flip(3)
        points[turned, 1] = 1.0 - points[turned, 1]
        bright = images.mean(1)  # the point still lies on the bright spot
        rows, columns = (points * SIZE).long().clamp(max=SIZE - 1).unbind(1)
        assert bool((bright[torch.arange(len(rows)), rows, columns] > 0.9).all())
        return images, points


class Pointing(Task):
    name = "pointing"
    summary = "where the bright spot is"
    metrics = ("closeness",)
    reasons = frozenset({"DIVERGED"})
    labels = False
    mixes = False

    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        raise AssertionError("head_for is asked")

    def head_for(
        self, network: Network, info: DatasetInfo, source: Mapping[str, Tensor] | None
    ) -> nn.Module:
        assert source is not None
        assert source["weight"].shape == (5, network.feature_width)
        return nn.Linear(network.feature_width, 2)

    def loss(self, outputs: Any, targets: Any, label_smoothing: float) -> Tensor:
        assert targets.shape == outputs.shape
        return F.mse_loss(outputs, targets)

    def kept(self, outputs: Any, targets: Any) -> Tensor:
        return torch.cat([outputs, targets], dim=1)

    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        assert ctx.component is not None
        assert ctx.component.name == TinyBackbone.name
        return PointBatches(examples)

    def validation_loss(self, predictions: Predictions) -> None:
        return None

    def statistics(self, predictions: Predictions) -> np.ndarray:
        guess, truth = np.split(predictions.outputs.astype(np.float64), 2, axis=1)
        return np.stack([np.abs(guess - truth).mean(axis=1), np.ones(len(guess))], axis=1)

    def primary_from_sums(self, sums: np.ndarray) -> np.ndarray:
        closeness: np.ndarray = 1.0 - sums[..., 0] / sums[..., 1]
        return closeness


class Closeness(Metric):
    name = "closeness"
    summary = "one minus the mean distance"
    tasks = ("pointing",)

    def spec(self, info: DatasetInfo) -> MetricSpec:
        return MetricSpec(name="closeness", range=(-10.0, 1.0), chance=0.75)

    def compute(self, data: MetricInput) -> float:
        task = Pointing()
        return float(task.primary_from_sums(task.statistics(data.predictions).sum(axis=0)))


class Pointed(TinyBackbone):
    """The tiny network, for this task too."""

    def info(self) -> Any:
        from dataclasses import replace

        return replace(super().info(), tasks=("image-classification", "pointing"))


PARTS: tuple[type[Component], ...] = (Corners, Pointing, Closeness, Pointed)


def ran(*more: type[Component], **changes: Any) -> Any:
    return run_tiny(*PARTS, *more, **changes)


def test_a_cell_trains_on_points_and_keeps_its_errors() -> None:
    record, kept = ran(epochs=12)
    assert record.status == "ok", record.error
    assert kept is not None
    test = kept["test", "selected"]
    truth = Corners().load("test", SIZE).truth
    assert truth is not None
    assert np.array_equal(test.outputs[:, 2:], truth[test.index])
    assert record.history[-1].val_loss is None
    assert record.history[-1].val_metric is not None
    losses = [row.train_loss or 0.0 for row in record.history]
    assert losses[-1] < 0.5 * losses[0]
    assert record.provenance is not None
    assert record.provenance["data"]["notes"]["train"] == {"bright": 96}


def test_features_of_frozen_blocks_meet_their_points() -> None:
    from sftbench.builtin.strategies.head_only import HeadOnly

    record, _ = ran(HeadOnly, epochs=6)
    assert record.status == "ok", record.error
    assert record.stages[0].cached_features
    losses = [row.train_loss or 0.0 for row in record.history]
    assert losses[-1] < losses[0]


def test_strategies_that_need_labels_are_skipped() -> None:
    from sftbench.api import Stage, Strategy, StrategyContext

    class Counting(Strategy):
        name = "counting"
        summary = "needs labels"
        needs_labels = True

        def stages(self, ctx: StrategyContext) -> list[Stage]:
            return [Stage(name="train")]

    with pytest.raises(RequestError, match="counting needs one class for each example"):
        ran(Counting)


def test_inputs_that_cannot_be_mixed_are_not() -> None:
    with pytest.raises(
        RequestError, match=r"mixup mixes an image .* has nothing that could be mixed"
    ):
        ran(mixup=0.2)


def test_an_augmentation_that_a_task_does_not_know_is_refused() -> None:
    class Mirrored(Pointing):
        augments = frozenset({"none", "flip"})

    with pytest.raises(RequestError) as caught:
        ran(Mirrored, augment="crop")
    assert str(caught.value) == (
        "task 'pointing' does not know augment 'crop'; it knows: flip, none"
    )


def test_a_task_may_be_served_by_the_backbones_of_another() -> None:
    class Served(Pointing):
        features_of = "image-classification"

    with pytest.raises(RequestError, match="does not serve task pointing"):
        run_tiny(Corners, Closeness, Pointing)

    record, _ = run_tiny(Corners, Closeness, Served)
    assert record.error is None


def test_a_variant_that_changes_labels_is_refused() -> None:
    from sftbench.builtin.variants.noise import LabelNoise

    record, _ = ran(LabelNoise)
    assert record.error is not None
    assert "which say nothing to task 'pointing'" in record.error.message
