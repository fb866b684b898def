"""Tasks and metrics that break a rule."""

from __future__ import annotations

import os
from typing import Any

from support.broken.noted import breaks
from torch import nn

from sftbench.api import (
    DatasetInfo,
    Metric,
    MetricInput,
    MetricSpec,
)
from sftbench.builtin.tasks.image_classification import ImageClassification


@breaks("names of metrics and reasons are known", "metric 'top1' is offered by no plugin")
class UnknownMetric(ImageClassification):
    metrics = ("accuracy", "top1")


@breaks(
    "names of metrics and reasons are known", "unknown reason 'OVERFITS'; did you mean 'OVERFIT'?"
)
class UnknownReason(ImageClassification):
    reasons = frozenset({"CRASHED", "OVERFITS"})


@breaks("head gives outputs", "head() returned a function, not a module")
class HeadIsNoModule(ImageClassification):
    def head(self, feature_width: int, info: DatasetInfo) -> Any:
        head = super().head(feature_width, info)

        def forward(features: Any) -> Any:
            return head(features)

        return forward


@breaks("loss is a finite scalar", "loss has shape [32]")
class LossForEachExample(ImageClassification):
    def loss(self, outputs: Any, targets: Any, label_smoothing: float) -> Any:
        return nn.functional.cross_entropy(outputs, targets, reduction="none")


@breaks("loss is a finite scalar", "loss has no gradient")
class LossDetached(ImageClassification):
    def loss(self, outputs: Any, targets: Any, label_smoothing: float) -> Any:
        return super().loss(outputs, targets, label_smoothing).detach()


@breaks("batches are seeded", "two weak views under one seed differ")
class UnseededViews(ImageClassification):
    def batches(self, examples: Any, ctx: Any) -> Any:
        source = super().batches(examples, ctx)
        plain = source.inputs

        def inputs(indices: Any, view: Any, generator: Any) -> Any:
            given = plain(indices, view, generator)
            return given if view == "plain" else given + float.fromhex(f"0x{os.urandom(6).hex()}")

        source.inputs = inputs
        return source


@breaks("validation loss is finite", "validation_loss is nan")
class LossOfNothing(ImageClassification):
    def validation_loss(self, predictions: Any) -> float:
        return float("nan")


@breaks("statistics are additive", "the row of an example depends on the others")
class RowsOfTheWhole(ImageClassification):
    def statistics(self, predictions: Any) -> Any:
        return super().statistics(predictions) / len(predictions.targets)


@breaks("statistics are additive", "metric 'balanced_accuracy' gives")
class PrimaryOfAnother(ImageClassification):
    metrics = ("balanced_accuracy", "accuracy")

    def primary_from_sums(self, sums: Any) -> Any:
        return super().primary_from_sums(sums) + 0.01


@breaks("sums may have leading axes", "sums [2, 3, K] become []")
class OneSumOnly(ImageClassification):
    def primary_from_sums(self, sums: Any) -> Any:
        return super().primary_from_sums(sums).reshape(-1)[0]


@breaks("per class names the classes", "labels are ('a', 'b', 'c')")
class ForgetsAClass(ImageClassification):
    def per_class(self, predictions: Any, info: Any, train_counts: Any) -> Any:
        return super().per_class(predictions, info, train_counts)[:3]


class Hits(Metric):
    """Share of hits."""

    name = "hits"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        return MetricSpec(name=self.name)

    def compute(self, data: MetricInput) -> Any:
        return float((data.predictions.outputs.argmax(1) == data.predictions.targets).mean())


@breaks("spec is sound", "spec().name is 'accuracy', not 'hits'")
class NameOfAnother(Hits):
    def spec(self, info: DatasetInfo) -> MetricSpec:
        return MetricSpec(name="accuracy")


@breaks("values lie in the range", "outside the range (0.0, 1.0)")
class InPercent(Hits):
    def compute(self, data: MetricInput) -> Any:
        return 1 + 100 * super().compute(data)


@breaks("values lie in the range", "compute() returned nan")
class NanForNone(Hits):
    def compute(self, data: MetricInput) -> Any:
        return float("nan")


@breaks("perfect predictions score best", "is the direction right?")
class WrongDirection(Hits):
    def spec(self, info: DatasetInfo) -> MetricSpec:
        return MetricSpec(name=self.name, direction="min")


@breaks("order of examples does not matter", "when the examples are turned round")
class OfTheFirstHalf(Hits):
    def compute(self, data: MetricInput) -> Any:
        hits = data.predictions.outputs.argmax(1) == data.predictions.targets
        return float(hits[: len(hits) // 2].mean())


@breaks("order of examples does not matter", "compute() wrote to the outputs")
class WritesToOutputs(Hits):
    def compute(self, data: MetricInput) -> Any:
        outputs = data.predictions.outputs
        outputs -= outputs.max(axis=1, keepdims=True) + 1
        return super().compute(data)
