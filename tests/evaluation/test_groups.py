from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftbench.evaluation.groups import frequency_groups, group_recall, rank_groups

CIFAR10_LT_100 = np.array([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])
BOTH = [frequency_groups, rank_groups]


def test_cifar10_lt_100() -> None:
    assert frequency_groups(CIFAR10_LT_100) == {
        "many": [0, 1, 2, 3, 4, 5, 6, 7],
        "medium": [8, 9],
        "few": [],
    }
    assert rank_groups(CIFAR10_LT_100) == {
        "head": [0, 1, 2],
        "medium": [3, 4, 5, 6],
        "tail": [7, 8, 9],
    }


def test_borders_of_the_frequency_groups() -> None:
    assert frequency_groups(np.array([101, 100, 20, 19, 0])) == {
        "many": [0],
        "medium": [1, 2],
        "few": [3, 4],
    }


def test_ranks_go_by_count_and_not_by_class_index() -> None:
    assert rank_groups(CIFAR10_LT_100[::-1]) == {
        "head": [7, 8, 9],
        "medium": [3, 4, 5, 6],
        "tail": [0, 1, 2],
    }
    assert rank_groups(np.array([7, 90, 3, 50, 40])) == {
        "head": [1, 3],
        "medium": [4],
        "tail": [0, 2],
    }


def test_equal_counts_rank_by_class_index() -> None:
    assert rank_groups(np.array([10] * 5 + [100] * 5)) == {
        "head": [5, 6, 7],
        "medium": [0, 1, 8, 9],
        "tail": [2, 3, 4],
    }


@pytest.mark.parametrize(
    ("classes", "sizes"),
    [
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (4, (1, 2, 1)),
        (5, (2, 1, 2)),
        (6, (2, 2, 2)),
        (10, (3, 4, 3)),
        (15, (5, 5, 5)),
        (37, (11, 15, 11)),
        (100, (30, 40, 30)),
    ],
)
def test_sizes_of_the_rank_groups(classes: int, sizes: tuple[int, int, int]) -> None:
    found = rank_groups(np.arange(classes, 0, -1) * 10)
    assert found is not None
    assert tuple(len(found[name]) for name in ("head", "medium", "tail")) == sizes


@pytest.mark.parametrize("groups", BOTH)
@pytest.mark.parametrize(
    "counts", [[500] * 10, [199, 100], [39, 20, 25], [0, 0, 0], [7], [0], [5, 5]]
)
def test_none_where_training_is_not_imbalanced(groups: Any, counts: list[int]) -> None:
    assert groups(np.array(counts)) is None


@pytest.mark.parametrize("groups", BOTH)
@pytest.mark.parametrize("counts", [[200, 100], [1, 2], [1, 0], [40, 20, 25]])
def test_groups_from_twice_the_smallest_count(groups: Any, counts: list[int]) -> None:
    assert groups(np.array(counts)) is not None


def test_classes_without_training_images_are_few_and_tail() -> None:
    counts = np.array([0, 300, 0, 200, 0, 50, 0, 30, 0, 25])
    frequency = frequency_groups(counts)
    assert frequency == {"many": [1, 3], "medium": [5, 7, 9], "few": [0, 2, 4, 6, 8]}
    assert rank_groups(counts) == {"head": [1, 3, 5], "medium": [7, 9], "tail": [0, 2, 4, 6, 8]}
    assert rank_groups(np.array([0, 0, 0, 9, 0])) == {
        "head": [3],
        "medium": [],
        "tail": [0, 1, 2, 4],
    }


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_groups_part_the_classes_in_descending_order(counts: list[int]) -> None:
    for function in BOTH:
        found = function(np.array(counts))
        assert (found is None) == (max(counts) < 2 * min(counts) or max(counts) == min(counts))
        if found is None:
            continue
        parts = list(found.values())
        assert sorted(each for part in parts for each in part) == list(range(len(counts)))
        for higher, lower in ((0, 1), (1, 2), (0, 2)):
            if parts[higher] and parts[lower]:
                lowest = min(counts[each] for each in parts[higher])
                assert lowest >= max(counts[each] for each in parts[lower])


def test_group_recall() -> None:
    recalls = np.array([0.9, 0.5, np.nan, 0.0])
    assert group_recall(recalls, [0, 1]) == pytest.approx(0.7, rel=1e-14)
    assert group_recall(recalls, [1, 2]) == 0.5
    assert group_recall(recalls, [3]) == 0.0
    assert group_recall(recalls, []) is None
    assert group_recall(recalls, [2]) is None


@pytest.mark.parametrize("classes", [[4], [-1], [0, 9]])
def test_group_recall_refuses_classes_out_of_range(classes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"classes must lie in 0\.\.3"):
        group_recall(np.zeros(4), classes)


def test_group_recall_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"recalls must have shape \[C\]"):
        group_recall(np.zeros((2, 2)), [0])


@pytest.mark.parametrize("groups", BOTH)
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros(0, dtype=np.int64), r"train_counts must have shape \[C\]"),
        (np.ones((2, 2), dtype=np.int64), r"train_counts must have shape \[C\]"),
        (np.array([1.0, 2.0]), "train_counts must be integers, got float64"),
        (np.array([3, -1]), "train_counts must not be negative, got -1"),
    ],
)
def test_invalid_counts_are_refused(groups: Any, counts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        groups(counts)
