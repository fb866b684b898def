"""Metrics made of per-class recalls."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench.evaluation import classification, groups


def group_metric(
    name: str,
    summary: str,
    key: str,
    split: Callable[[NDArray[np.int64]], Mapping[str, list[int]] | None],
) -> type[Metric]:
    """Make the metric of one group of classes: the mean of its recalls, None where it is empty."""

    class GroupRecall(Metric):
        """Mean recall of one group of classes; None where the group or its support is empty."""

        def spec(self, info: DatasetInfo) -> MetricSpec:
            return MetricSpec(name=self.name, chance=1 / info.num_classes)

        def compute(self, data: MetricInput) -> float | None:
            parts = split(data.train_counts)
            if parts is None:
                return None
            recalls = classification.per_class_recall(
                data.predictions.outputs, data.predictions.targets
            )
            return groups.group_recall(recalls, parts[key])

    GroupRecall.name = name
    GroupRecall.summary = summary
    return GroupRecall


class BalancedAccuracy(Metric):
    """Mean recall of the classes that the split holds."""

    name = "balanced_accuracy"
    summary = "mean recall of classes"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is one over the number of classes."""
        return MetricSpec(name=self.name, chance=1 / info.num_classes)

    def compute(self, data: MetricInput) -> float:
        """Return the balanced accuracy."""
        return classification.balanced_accuracy(data.predictions.outputs, data.predictions.targets)


class WorstClassRecall(Metric):
    """The lowest recall of the classes that the split holds."""

    name = "worst_class_recall"
    summary = "the lowest recall"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is one over the number of classes."""
        return MetricSpec(name=self.name, chance=1 / info.num_classes)

    def compute(self, data: MetricInput) -> float:
        """Return the worst class's recall."""
        return classification.worst_class_recall(data.predictions.outputs, data.predictions.targets)


class GMean(Metric):
    """Geometric mean of recalls; 0 where one class is never found."""

    name = "g_mean"
    summary = "geometric mean of recalls"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is one over the number of classes."""
        return MetricSpec(name=self.name, chance=1 / info.num_classes)

    def compute(self, data: MetricInput) -> float:
        """Return the geometric mean."""
        return classification.g_mean(data.predictions.outputs, data.predictions.targets)


ManyRecall = group_metric(
    "many_recall", "classes of > 100 training images", "many", groups.frequency_groups
)
MediumRecall = group_metric(
    "medium_recall", "classes of 20 to 100", "medium", groups.frequency_groups
)
FewRecall = group_metric("few_recall", "classes of < 20", "few", groups.frequency_groups)
HeadRecall = group_metric(
    "head_recall", "the 30 % of classes with most images", "head", groups.rank_groups
)
MiddleRecall = group_metric("middle_recall", "the 40 % between", "medium", groups.rank_groups)
TailRecall = group_metric("tail_recall", "the 30 % with fewest", "tail", groups.rank_groups)
