"""COCO's metrics, against pycocotools as its authors run it, and by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from boxes_by_hand import drawn_images, kept_of, thing
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sftbench_detection import coco
from sftbench_detection.layout import (
    DETECTION,
    HEADER,
    KEPT_WIDTH,
    MOST_DETECTIONS,
    OBJECT,
    Kept,
)
from sftbench_detection.statistics import found_first


def by_pycocotools(kept: NDArray[np.float32], num_classes: int) -> list[float]:
    """The twelve numbers of `summarize`, by way of COCO's own loading."""
    parts = Kept.of(kept)
    truth: Any = COCO()
    annotations, results = [], []
    for image, (detections, objects) in enumerate(
        zip(parts.detections, parts.objects, strict=True), start=1
    ):
        for label, x, y, w, h, area, crowd in objects[objects[:, 3] > 0].tolist():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label) + 1,
                    "bbox": [x, y, w, h],
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
        results += [
            {
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": [x, y, w, h],
                "score": score,
            }
            for label, score, x, y, w, h in detections[detections[:, 1] > 0].tolist()
        ]
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(1, len(kept) + 1)],
        "categories": [{"id": label + 1, "name": str(label)} for label in range(num_classes)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_metric_is_that_of_pycocotools(seed: int) -> None:
    kept = kept_of(drawn_images(seed, 25, 3), 3)
    found, wanted = coco.summary(kept), by_pycocotools(kept, 3)
    mine = [
        found.ap(),
        found.ap(0.5),
        found.ap(0.75),
        found.ap(area="small"),
        found.ap(area="medium"),
        found.ap(area="large"),
    ]
    assert mine == pytest.approx(wanted[:6], abs=1e-12)
    assert found.ar() == pytest.approx(wanted[8], abs=1e-12)
    assert 0.05 < wanted[0] < 0.9  # neither nothing nor everything is found


def test_evaluation_says_nothing_and_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    kept = kept_of(drawn_images(3, 4, 2), 2)
    assert coco.summary(kept) is coco.summary(kept)
    assert coco.summary(kept.copy()) is not coco.summary(kept)
    assert capsys.readouterr().out == ""


def test_by_hand() -> None:
    # Two objects of class 0: one found exactly, one at an overlap of 0.6 behind a false alarm.
    exact, shifted = (0, 0.9, 10, 10, 40, 40), (0, 0.3, 110, 100, 40, 40)
    alarm = (0, 0.5, 10, 150, 20, 20)
    objects = [thing(0, 10, 10, 40, 40), thing(0, 100, 100, 40, 40)]
    found = coco.summary(kept_of([([exact, shifted, alarm], objects)], 2))
    # Overlap of the shifted one: 30 x 40 of 50 x 40. Precision is 1 up to recall 0.5 (51 of 101
    # recalls), and 2/3 behind it as long as the second is a hit.
    half = 51 / 101
    assert found.ap(0.5) == pytest.approx(half + 50 / 101 * 2 / 3)
    assert found.ap(0.75) == pytest.approx(half)
    assert found.ap() == pytest.approx(half + 3 / 10 * 50 / 101 * 2 / 3)
    assert found.ap(area="small") is None  # both are 1,600 pixels
    assert found.ap(area="large") is None
    assert found.class_ap() == [pytest.approx(found.ap()), None]


def test_what_lies_in_a_crowd_is_neither_found_nor_wrong() -> None:
    objects = [thing(0, 10, 10, 40, 40), thing(0, 100, 0, 90, 90, crowd=1)]
    alone = (0, 0.5, 10, 10, 40, 40)
    crowd = [(0, 0.9, 105, 5, 30, 30), (0, 0.8, 150, 40, 30, 30)]
    assert coco.summary(kept_of([([alone, *crowd], objects)], 1)).ap() == pytest.approx(1.0)
    outside = (0, 0.9, 10, 120, 30, 30)
    assert coco.summary(kept_of([([alone, outside], objects)], 1)).ap() == pytest.approx(0.5)


def test_found_first_looks_at_as_many_detections_as_there_are_objects() -> None:
    right, wrong = (0, 0.5, 10, 10, 40, 40), (1, 0.9, 120, 120, 30, 30)
    one = ([right, wrong], [thing(0, 10, 10, 40, 40)])
    two = ([right, wrong], [thing(0, 10, 10, 40, 40), thing(1, 60, 60, 30, 30)])
    crowded = ([wrong, right], [thing(0, 10, 10, 40, 40), thing(1, 120, 120, 40, 40, crowd=1)])
    for image, support, found in (
        (one, [1, 0], [0, 0]),  # the better detection is a wrong one
        (two, [1, 1], [1, 0]),
        (crowded, [1, 0], [0, 0]),
    ):
        counted = found_first(kept_of([image], 2))
        assert [part.tolist() for part in counted] == [support, found]


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (0, 2.5, "classes"),
        (0, 0.0, "classes"),
        (HEADER, 3.0, "a kept class is not one of 0..2"),
        (HEADER + MOST_DETECTIONS * DETECTION, -1.0, "a kept class is not one of 0..2"),
    ],
)
def test_kept_rows_of_another_form_are_refused(place: int, value: float, why: str) -> None:
    kept = kept_of([([], [])], 3)
    kept[0, place] = value
    with pytest.raises(ValueError, match=why):
        Kept.of(kept)
    with pytest.raises(ValueError, match=r"not \[1, 12\]"):
        Kept.of(kept[:, :12])


def test_a_row_holds_what_the_layout_says() -> None:
    assert KEPT_WIDTH == 4 + 100 * DETECTION + 300 * OBJECT == 2704
