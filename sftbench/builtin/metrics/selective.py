"""Metrics of selective classification: the least certain predictions are left out."""

from __future__ import annotations

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench.evaluation import selective


class Aurc(Metric):
    """Area under the curve of risk (share of errors) over coverage, 1 / N to 1."""

    name = "aurc"
    summary = "area under the curve of risk over coverage"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Lower is better."""
        return MetricSpec(name=self.name, direction="min")

    def compute(self, data: MetricInput) -> float | None:
        """Return the area; None for a single example."""
        return selective.aurc(data.predictions.outputs, data.predictions.targets)


class SelectiveAccuracy(Metric):
    """Share of right answers among the 80 % of examples with the most certain ones."""

    name = "selective_accuracy"
    summary = "accuracy on the most certain 80 %"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is a guess among the classes."""
        return MetricSpec(name=self.name, chance=1 / info.num_classes)

    def compute(self, data: MetricInput) -> float:
        """Return the accuracy."""
        return selective.selective_accuracy(data.predictions.outputs, data.predictions.targets)
