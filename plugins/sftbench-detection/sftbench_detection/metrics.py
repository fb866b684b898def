"""COCO's metrics as components: exact, by pycocotools, from what was kept."""

from __future__ import annotations

from typing import ClassVar

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench_detection import coco


class _OfBoxes(Metric):
    """One of COCO's metrics: the mean over classes that have an object; None where none has.

    Source: Lin et al. 2014, "Microsoft COCO: Common Objects in Context", arXiv:1405.0312; the
    numbers are those of pycocotools. A guess finds nothing, so chance is 0.
    """

    tasks: ClassVar[tuple[str, ...]] = ("detection",)

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Return the range 0 to 1, where more is better."""
        return MetricSpec(name=self.name, chance=0.0)


class Ap(_OfBoxes):
    """Average precision, the mean over overlaps of 0.50, 0.55, ..., 0.95."""

    name = "ap"
    summary = "average precision, mean over overlaps 0.50 to 0.95 (COCO)"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AP."""
        return coco.summary(data.predictions.outputs).ap()


class Ap50(_OfBoxes):
    """Average precision where an overlap of 0.50 is a hit."""

    name = "ap50"
    summary = "average precision at overlap 0.50"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AP at 0.50."""
        return coco.summary(data.predictions.outputs).ap(0.5)


class Ap75(_OfBoxes):
    """Average precision where an overlap of 0.75 is a hit."""

    name = "ap75"
    summary = "average precision at overlap 0.75"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AP at 0.75."""
        return coco.summary(data.predictions.outputs).ap(0.75)


class ApSmall(_OfBoxes):
    """Average precision of objects under 32 x 32 pixels of the published image."""

    name = "ap_small"
    summary = "average precision of objects under 32 x 32 pixels"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AP of small objects; None where there is none."""
        return coco.summary(data.predictions.outputs).ap(area="small")


class ApMedium(_OfBoxes):
    """Average precision of objects of 32 x 32 to 96 x 96 pixels of the published image."""

    name = "ap_medium"
    summary = "average precision of objects up to 96 x 96 pixels"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AP of medium objects; None where there is none."""
        return coco.summary(data.predictions.outputs).ap(area="medium")


class ApLarge(_OfBoxes):
    """Average precision of objects over 96 x 96 pixels of the published image."""

    name = "ap_large"
    summary = "average precision of objects over 96 x 96 pixels"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AP of large objects; None where there is none."""
        return coco.summary(data.predictions.outputs).ap(area="large")


class Ar100(_OfBoxes):
    """Average recall with 100 detections of an image."""

    name = "ar100"
    summary = "average recall with 100 detections of an image"

    def compute(self, data: MetricInput) -> float | None:
        """Return the AR."""
        return coco.summary(data.predictions.outputs).ar()
