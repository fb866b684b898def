"""Metrics against brute force over pixels, and against torchmetrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sftbench_segmentation import confusion
from sftbench_segmentation.metrics import MeanAccuracy, MeanIou, PixelAccuracy, WorstClassIou
from sftbench_segmentation.task import Segmentation

from sftbench.api import DatasetInfo, Metric, MetricInput, Predictions

Masks = NDArray[np.int64]
CountPixels = Callable[[Masks, Masks, int], Predictions]
CLASSES = 4


def drawn(seed: int, present: int = CLASSES) -> tuple[Masks, Masks]:
    """Return masks [5, 6, 7] with ignored pixels, and guesses that are right half of the time."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, present, (5, 6, 7))
    guess = np.where(
        generator.random(truth.shape) < 0.5, truth, generator.integers(0, present, truth.shape)
    )
    truth[generator.random(truth.shape) < 0.1] = 255
    return truth, guess


def value(metric: Metric, predictions: Predictions) -> float | None:
    counts = np.ones(CLASSES, dtype=np.int64)
    return metric.compute(
        MetricInput(predictions=predictions, num_classes=CLASSES, train_counts=counts)
    )


def brute_ious(truth: Masks, guess: Masks) -> list[float]:
    """Return the IoU of each class that is not absent, by sets of pixels."""
    found = []
    for label in range(CLASSES):
        wanted = {tuple(place) for place in np.argwhere(truth == label)}
        got = {tuple(place) for place in np.argwhere((guess == label) & (truth != 255))}
        if wanted | got:
            found.append(len(wanted & got) / len(wanted | got))
    return found


@pytest.mark.parametrize("present", [CLASSES, 2])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_brute_force(seed: int, present: int, count_pixels: CountPixels) -> None:
    truth, guess = drawn(seed, present)
    kept = count_pixels(truth, guess, CLASSES)
    known = truth != 255
    recalls = [
        (guess[truth == label] == label).mean()
        for label in range(CLASSES)
        if (truth == label).any()
    ]
    assert value(MeanIou(), kept) == pytest.approx(np.mean(brute_ious(truth, guess)), abs=1e-12)
    assert value(WorstClassIou(), kept) == pytest.approx(min(brute_ious(truth, guess)), abs=1e-12)
    assert value(PixelAccuracy(), kept) == pytest.approx((guess == truth)[known].mean(), abs=1e-12)
    assert value(MeanAccuracy(), kept) == pytest.approx(np.mean(recalls), abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # torchmetrics' own
def test_metrics_equal_torchmetrics(count_pixels: CountPixels) -> None:
    classification = pytest.importorskip("torchmetrics.functional.classification")
    truth, guess = drawn(7)
    kept = count_pixels(truth, guess, CLASSES)
    arguments: dict[str, Any] = {"num_classes": CLASSES, "ignore_index": 255}
    given = torch.from_numpy(guess), torch.from_numpy(truth)
    wanted = classification.multiclass_jaccard_index(*given, **arguments)
    assert value(MeanIou(), kept) == pytest.approx(float(wanted), abs=1e-6)
    each = classification.multiclass_jaccard_index(*given, average="none", **arguments)
    assert value(WorstClassIou(), kept) == pytest.approx(float(each.min()), abs=1e-6)
    wanted = classification.multiclass_accuracy(*given, average="micro", **arguments)
    assert value(PixelAccuracy(), kept) == pytest.approx(float(wanted), abs=1e-6)
    wanted = classification.multiclass_accuracy(*given, average="macro", **arguments)
    assert value(MeanAccuracy(), kept) == pytest.approx(float(wanted), abs=1e-6)


def test_an_absent_class_is_left_out_and_a_hallucinated_one_counts_as_nothing(
    count_pixels: CountPixels,
) -> None:
    truth = np.zeros((1, 2, 2), dtype=np.int64)
    right = count_pixels(truth, truth, CLASSES)
    assert value(MeanIou(), right) == 1.0
    dreamt = truth.copy()
    dreamt[0, 0, 0] = 3
    # Class 0 has 3 of 4 pixels, class 3 is predicted where it is not: (3/4 + 0) / 2.
    assert value(MeanIou(), count_pixels(truth, dreamt, CLASSES)) == 0.375
    # Recall looks at classes that have pixels alone.
    assert value(MeanAccuracy(), count_pixels(truth, dreamt, CLASSES)) == 0.75


def test_nothing_is_said_of_a_split_whose_pixels_are_all_ignored(count_pixels: CountPixels) -> None:
    truth = np.full((2, 3, 3), 255)
    kept = count_pixels(truth, np.zeros_like(truth), CLASSES)
    assert [value(m(), kept) for m in (MeanIou, WorstClassIou, PixelAccuracy, MeanAccuracy)] == [
        None
    ] * 4
    assert Segmentation().validation_loss(kept) is None


def test_mean_iou_is_of_all_pixels_and_not_a_mean_over_images(count_pixels: CountPixels) -> None:
    truth = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]]])
    guess = np.array([[[0, 0, 0, 0]], [[0, 0, 0, 0]]])
    kept = count_pixels(truth, guess, 2)
    task = Segmentation()
    sums = task.statistics(kept).sum(axis=0)
    assert float(task.primary_from_sums(sums)) == pytest.approx((7 / 8 + 0) / 2)
    per_image = [float(task.primary_from_sums(row)) for row in task.statistics(kept)]
    assert np.mean(per_image) == pytest.approx((3 / 8 + 1) / 2)


def test_per_class_counts_images_and_has_the_iou(count_pixels: CountPixels) -> None:
    truth = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]], [[1, 1, 1, 1]]])
    guess = np.array([[[0, 0, 1, 0]], [[0, 0, 0, 1]], [[1, 1, 0, 0]]])
    info = DatasetInfo(name="x", class_names=("ground", "thing", "none"), num_train=9, num_test=3)
    found = Segmentation().per_class(count_pixels(truth, guess, 3), info, np.array([9, 5, 2]))
    assert [(one.label, one.train_count, one.support) for one in found] == [
        ("ground", 9, 2),
        ("thing", 5, 2),
        ("none", 2, 0),
    ]
    # Ground: all of 2 and 3 of 4 pixels; thing: 1 of 2 and 2 of 4.
    assert [one.recall for one in found] == [0.875, 0.5, None]
    assert [one.score for one in found] == pytest.approx([5 / 9, 3 / 7, None])


def test_ious_of_many_sums_at_once() -> None:
    sums = np.zeros((2, 3, 8))
    sums[..., 0], sums[..., 4] = 1.0, 2.0
    assert confusion.mean_iou(sums).tolist() == [[0.5] * 3] * 2
