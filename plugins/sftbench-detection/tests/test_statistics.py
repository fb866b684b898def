"""Statistics: each image's own, additive, and near AP."""

from __future__ import annotations

import numpy as np
import pytest
from boxes_by_hand import drawn_images, kept_of, thing
from numpy.typing import NDArray
from sftbench_detection import coco
from sftbench_detection.statistics import ap_from_sums, of_images
from sftbench_detection.task import Detection


def simulated(seed: int, num: int, num_classes: int, skill: float) -> NDArray[np.float32]:
    """A detector whose scores say more the higher its skill is, over `num` images."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(num):
        objects, detections = [], []
        for _ in range(int(rng.integers(1, 4))):
            x, y, side = *rng.uniform(0, 100, 2), rng.uniform(30, 80)
            label = int(rng.integers(num_classes))
            objects.append(thing(label, x, y, side, side))
            for _ in range(int(rng.integers(0, 4))):
                shift = np.abs(rng.normal(0, 0.12 * side, 2))
                odds = skill * (1.0 - shift.sum() / side * 4) + rng.normal()
                score = 1 / (1 + np.exp(-odds))
                detections.append((label, score, x + shift[0], y + shift[1], side, side))
        for _ in range(20):
            score = 1 / (1 + np.exp(skill + 1.0 + rng.normal()))
            box = (*rng.uniform(0, 100, 2), *rng.uniform(30, 80, 2))
            detections.append((int(rng.integers(num_classes)), score, *box))
        images.append((detections, objects))
    return kept_of(images, num_classes)


@pytest.mark.parametrize("num_classes", [1, 10, 20])
@pytest.mark.parametrize("skill", [0.5, 2.0, 4.0])
def test_sums_give_ap_within_the_tasks_tolerance(num_classes: int, skill: float) -> None:
    kept = simulated(num_classes, 120, num_classes, skill)
    exact = coco.summary(kept).ap()
    assert exact is not None
    assert 0.02 < exact < 0.95
    near = float(ap_from_sums(of_images(kept).sum(axis=0)))
    assert near == pytest.approx(exact, abs=Detection.tolerance)


def test_a_row_is_its_images_own_and_sums_may_have_leading_axes() -> None:
    kept = kept_of(drawn_images(5, 12, 3), 3)
    rows = of_images(kept)
    assert np.array_equal(of_images(kept[::2]), rows[::2])
    sums = rows.sum(axis=0)
    both = ap_from_sums(np.stack([[sums, rows[:6].sum(axis=0)]] * 3))
    assert both.shape == (3, 2)
    assert both[1].tolist() == [
        float(ap_from_sums(sums)),
        float(ap_from_sums(rows[:6].sum(axis=0))),
    ]


def test_without_objects_nothing_is_known_and_without_detections_nothing_is_found() -> None:
    empty = kept_of([([], [])], 2)
    assert np.isnan(ap_from_sums(of_images(empty).sum(axis=0)))
    missed = kept_of([([], [thing(0, 10, 10, 40, 40)])], 2)
    assert float(ap_from_sums(of_images(missed).sum(axis=0))) == 0.0


def test_a_class_without_objects_does_not_count() -> None:
    found = ([(0, 0.9, 10, 10, 40, 40), (1, 0.8, 90, 90, 30, 30)], [thing(0, 10, 10, 40, 40)])
    assert float(ap_from_sums(of_images(kept_of([found], 2)).sum(axis=0))) == pytest.approx(1.0)


@pytest.mark.parametrize("num_classes", [1, 12, 13, 20, 24, 25, 48, 49, 80, 365])
def test_the_width_of_a_row_says_its_classes(num_classes: int) -> None:
    found = ([(num_classes - 1, 0.9, 10, 10, 40, 40)], [thing(num_classes - 1, 10, 10, 40, 40)])
    rows = of_images(kept_of([found], num_classes))
    assert float(ap_from_sums(rows[0])) == pytest.approx(1.0)


def test_rows_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match="have no 7 columns"):
        ap_from_sums(np.zeros(7))


def test_scores_in_bins_of_their_own_give_ap_but_for_the_hundredths_of_recall() -> None:
    # A hit, a false alarm, two hits: precision 1, 1/2, 2/3, 3/4, of which COCO takes the highest
    # that follows: 1 for the first third of recalls, 3/4 behind it.
    boxes = [(10.0 * n, 20.0 * n, 30.0, 30.0) for n in range(3)]
    hits = [(0, score, *box) for score, box in zip((0.9, 0.4, 0.2), boxes, strict=True)]
    alarm = (0, 0.6, 150.0, 150.0, 30.0, 30.0)
    kept = kept_of([([*hits, alarm], [thing(0, *box) for box in boxes])], 1)
    near = float(ap_from_sums(of_images(kept).sum(axis=0)))
    assert near == pytest.approx(1 / 3 + 2 / 3 * 3 / 4, abs=0.005)
    assert near == pytest.approx(coco.summary(kept).ap(), abs=0.005)
