"""Metrics of segmentation: all of the confusion matrix of the whole split."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench_segmentation import confusion


class _OfMatrix(Metric):
    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Return 0 to 1, more is better; chance depends on the areas of the classes."""
        return MetricSpec(name=self.name)

    def compute(self, data: MetricInput) -> float | None:
        """Return it; None where no pixel of the split has a class."""
        matrix = confusion.matrices(data.predictions).sum(axis=0)
        return self.of(matrix) if matrix.sum() else None

    def of(self, matrix: NDArray[np.float64]) -> float:
        """Return the metric of a confusion matrix [C, C] that is not empty."""
        raise NotImplementedError


class MeanIou(_OfMatrix):
    """Mean over classes of intersection over union, TP / (TP + FP + FN).

    Pixels of the whole split are summed first, as in PASCAL VOC's evaluation: it is no mean over
    images. The background is a class. A class that no pixel of the split has and that none was
    predicted as is left out; one that was predicted though no pixel has it counts as 0.
    """

    name = "mean_iou"
    summary = "mean intersection over union of classes"

    def of(self, matrix: NDArray[np.float64]) -> float:
        """Return the mean over the classes that are not absent."""
        return float(confusion.mean_iou(confusion.class_sums(matrix)))


class WorstClassIou(_OfMatrix):
    """The lowest intersection over union of the classes that `mean_iou` counts."""

    name = "worst_class_iou"
    summary = "the lowest IoU of a class"

    def of(self, matrix: NDArray[np.float64]) -> float:
        """Return the lowest."""
        return float(np.nanmin(confusion.ious(confusion.class_sums(matrix))))


class PixelAccuracy(_OfMatrix):
    """Share of the pixels of the split that have a class and were labelled right."""

    name = "pixel_accuracy"
    summary = "share of pixels labelled right"

    def of(self, matrix: NDArray[np.float64]) -> float:
        """Return the share."""
        return float(np.trace(matrix) / matrix.sum())


class MeanAccuracy(_OfMatrix):
    """Mean over the classes that have pixels of the share of them that were found."""

    name = "mean_accuracy"
    summary = "mean share of a class's pixels found"

    def of(self, matrix: NDArray[np.float64]) -> float:
        """Return the mean."""
        return float(np.nanmean(confusion.recalls(matrix)))
