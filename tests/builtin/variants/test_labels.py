"""A few labelled images, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from sftbench.api import RequestError, VariantContext
from sftbench.builtin.variants.thinned import Labels, LabelsOptions

TARGETS = np.repeat(np.arange(3, dtype=np.int64), 10)


def _ctx() -> VariantContext:
    return VariantContext(
        num_classes=3,
        generator=lambda *keys: np.random.default_rng([int(key != "class") for key in keys]),
        class_counts=None,
    )


@pytest.mark.parametrize(("num", "counts"), [(3, [1, 1, 1]), (8, [3, 3, 2]), (30, [10, 10, 10])])
def test_classes_are_alike(num: int, counts: list[int]) -> None:
    kept = Labels(LabelsOptions(num=num)).apply(TARGETS, _ctx())
    assert np.bincount(kept.targets).tolist() == counts
    assert np.array_equal(TARGETS[kept.indices], kept.targets)


def test_a_smaller_number_is_part_of_a_larger_one() -> None:
    small = Labels(LabelsOptions(num=6)).apply(TARGETS, _ctx())
    large = Labels(LabelsOptions(num=14)).apply(TARGETS, _ctx())
    assert set(small.indices) < set(large.indices)


@pytest.mark.parametrize(
    ("num", "message"), [(2, "3 classes need a label each"), (31, "class 0 has fewer than 11")]
)
def test_what_cannot_be_is_refused(num: int, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Labels(LabelsOptions(num=num)).apply(TARGETS, _ctx())
