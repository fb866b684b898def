"""Metrics that count right answers."""

from __future__ import annotations

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench.evaluation import classification


class Accuracy(Metric):
    """Share of examples whose highest logit is the truth; the first of equal logits counts."""

    name = "accuracy"
    summary = "share of examples labelled right"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is a guess among the classes."""
        return MetricSpec(name=self.name, chance=1 / info.num_classes)

    def compute(self, data: MetricInput) -> float:
        """Return the accuracy."""
        return classification.accuracy(data.predictions.outputs, data.predictions.targets)


class Top5Accuracy(Metric):
    """Share of examples whose truth is among the five highest logits."""

    name = "top5_accuracy"
    summary = "truth among the five highest"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is five guesses among the classes."""
        return MetricSpec(name=self.name, chance=min(1.0, 5 / info.num_classes))

    def compute(self, data: MetricInput) -> float:
        """Return the top-5 accuracy."""
        predictions = data.predictions
        return classification.topk_accuracy(predictions.outputs, predictions.targets, 5)


class MacroF1(Metric):
    """Mean over classes of the harmonic mean of precision and recall."""

    name = "macro_f1"
    summary = "mean F1 of classes"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is not stated: it depends on the shares of the classes."""
        return MetricSpec(name=self.name)

    def compute(self, data: MetricInput) -> float:
        """Return the macro F1."""
        return classification.macro_f1(data.predictions.outputs, data.predictions.targets)
