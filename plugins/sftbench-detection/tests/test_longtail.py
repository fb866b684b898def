"""The long tail over objects, where an image has several."""

from __future__ import annotations

import numpy as np
import pytest
from sftbench_detection.longtail import LongTailInstances

from sftbench.api import VariantContext
from sftbench.seeding import numpy_generator


def context(counts: np.ndarray | None, num_classes: int, seed: int = 0) -> VariantContext:
    return VariantContext(
        num_classes=num_classes,
        generator=lambda *keys: numpy_generator("variant", seed, "d", *keys),
        class_counts=counts,
    )


def variant(ratio: float) -> LongTailInstances:
    return LongTailInstances(LongTailInstances.options_model.model_validate({"ratio": ratio}))


def scenes(num: int, num_classes: int, most: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    drawn = [rng.integers(num_classes, size=rng.integers(1, most + 1)) for _ in range(num)]
    return np.array([np.bincount(one, minlength=num_classes) for one in drawn])


def test_images_of_one_object_reach_the_profile() -> None:
    counts = scenes(1000, 4, 1)
    kept = variant(10).apply(counts.argmax(axis=1), context(counts, 4))
    largest = counts.sum(axis=0).max()
    aims = [int(largest * 0.1 ** (i / 3)) for i in range(4)]
    left = counts[kept.indices].sum(axis=0)
    assert left.tolist() == [
        min(aim, have) for aim, have in zip(aims, counts.sum(axis=0), strict=True)
    ]


def test_images_of_several_objects_come_near_it() -> None:
    counts = scenes(1200, 10, 4)
    before, left = (
        counts[variant(ratio).apply(counts.argmax(axis=1), context(counts, 10)).indices].sum(axis=0)
        for ratio in (1, 20)
    )
    assert before.max() / before.min() < 1.25
    assert left[0] / left[-1] > 5
    smoothed = np.convolve(left, np.ones(3), "valid")
    assert (np.diff(smoothed) < 0).all()
    assert left.min() > 0


def test_seeds_choose_and_labels_stay() -> None:
    counts = scenes(200, 3, 3)
    targets = counts.argmax(axis=1)
    first, again, other = (
        variant(5).apply(targets, context(counts, 3, seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.indices, again.indices)
    assert not np.array_equal(first.indices, other.indices)
    assert np.array_equal(first.targets, targets[first.indices])


def test_images_without_objects_stay_and_no_class_loses_its_last() -> None:
    counts = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0]])
    kept = variant(100).apply(np.zeros(5, dtype=np.int64), context(counts, 2))
    assert 4 in kept.indices
    assert (counts[kept.indices].sum(axis=0) > 0).all()


def test_without_counts_each_image_is_one_of_its_target() -> None:
    targets = np.repeat(np.arange(3), 100)
    kept = variant(4).apply(targets, context(None, 3))
    assert np.bincount(kept.targets).tolist() == [100, 50, 25]


def test_a_ratio_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        variant(0.5)
