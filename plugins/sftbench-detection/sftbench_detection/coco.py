"""COCO's evaluation by pycocotools, over what was kept; numpy, no torch."""

from __future__ import annotations

import types
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

from sftbench_detection.layout import MOST_DETECTIONS, Kept

THRESHOLDS: Final = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""The overlaps (intersection over union) that AP is the mean over."""

AREAS: Final = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Areas of objects, in published pixels, by COCO's names."""


def _silent(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of pycocotools that says nothing on the standard output."""
    code: Any = method
    around = {**code.__globals__, "print": lambda *_args, **_more: None}
    return types.FunctionType(code.__code__, around, code.__name__, code.__defaults__)


class Evaluation(COCOeval):  # type: ignore[misc]
    """COCO's evaluation of kept outputs.

    Args:
        kept: What was kept.
        thresholds: Overlaps.
        areas: Ranges of the objects' areas.
    """

    evaluate = _silent(COCOeval.evaluate)
    accumulate = _silent(COCOeval.accumulate)

    def __init__(
        self, kept: Kept, thresholds: Sequence[float], areas: Mapping[str, tuple[float, float]]
    ) -> None:
        super().__init__(iouType="bbox")
        self._kept = kept
        self.params.imgIds = list(range(len(kept.objects)))
        self.params.catIds = list(range(kept.num_classes))
        self.params.iouThrs = np.array(thresholds)
        self.params.maxDets = [MOST_DETECTIONS]
        self.params.areaRng = [list(limits) for limits in areas.values()]
        self.params.areaRngLbl = list(areas)
        self.evaluate()

    def _prepare(self) -> None:
        """Bring objects and detections into pycocotools' form, numbered from 1."""
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        images, places = np.nonzero(self._kept.objects[..., 3] > 0)
        for number, (image, place) in enumerate(zip(images, places, strict=True), start=1):
            label, x, y, width, height, area, crowd = self._kept.objects[image, place].tolist()
            self._gts[int(image), int(label)].append(
                {
                    "id": number,
                    "bbox": [x, y, width, height],
                    "area": area,
                    "iscrowd": int(crowd),
                    "ignore": int(crowd),
                }
            )
        images, places = np.nonzero(self._kept.detections[..., 1] > 0)
        for number, (image, place) in enumerate(zip(images, places, strict=True), start=1):
            label, score, x, y, width, height = self._kept.detections[image, place].tolist()
            self._dts[int(image), int(label)].append(
                {
                    "id": number,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "score": score,
                }
            )


@dataclass(frozen=True, slots=True)
class Summary:
    """What COCO's metrics are means of; -1 where there is no object.

    Attributes:
        precision: float64 [T, R, C, A], at each overlap, recall, class and range of areas.
        recall: float64 [T, C, A], with 100 detections of an image.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def ap(self, overlap: float | None = None, area: str = "all") -> float | None:
        """Return the average precision, the mean over classes that have an object; or None.

        Args:
            overlap: One of `THRESHOLDS`; None: the mean over all.
            area: One of `AREAS`.
        """
        found = self.precision[_places(overlap), :, :, list(AREAS).index(area)]
        return _mean(found)

    def ar(self) -> float | None:
        """Return the average recall with 100 detections of an image, or None."""
        return _mean(self.recall[:, :, 0])

    def class_ap(self) -> list[float | None]:
        """Return the average precision of each class."""
        return [_mean(self.precision[:, :, label, 0]) for label in range(self.precision.shape[2])]


_last: list[tuple[weakref.ref[NDArray[np.float32]], Summary]] = []


def summary(outputs: NDArray[np.float32]) -> Summary:
    """Evaluate kept outputs float32 [N, W]; the last result is remembered with its array."""
    if _last and _last[0][0]() is outputs:
        return _last[0][1]
    evaluation = Evaluation(Kept.of(outputs), THRESHOLDS, AREAS)
    evaluation.accumulate()
    found = evaluation.eval
    made = Summary(found["precision"][..., 0], found["recall"][..., 0])
    _last[:] = [(weakref.ref(outputs), made)]
    return made


def _places(overlap: float | None) -> slice:
    if overlap is None:
        return slice(None)
    place = int(np.flatnonzero(np.isclose(THRESHOLDS, overlap))[0])
    return slice(place, place + 1)


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of what is defined."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
