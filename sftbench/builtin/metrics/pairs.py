"""The metric of paired views."""

from __future__ import annotations

from typing import ClassVar

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench.evaluation import contrastive


class ViewRetrieval(Metric):
    """Share of images whose second view is nearer than that of any other image of the split."""

    name = "view_retrieval"
    summary = "share of images whose second view is found among all"
    tasks: ClassVar[tuple[str, ...]] = ("contrastive",)

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Return the range; chance depends on the size of the split."""
        return MetricSpec(name=self.name)

    def compute(self, data: MetricInput) -> float | None:
        """Return the share."""
        return float(contrastive.retrieved(data.predictions.outputs).mean())
