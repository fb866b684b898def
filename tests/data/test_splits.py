from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sftbench.data.splits import carve_validation, index_hash, limit
from sftbench.errors import RequestError

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=8)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def shuffled(sizes: list[int]) -> NDArray[np.int64]:
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
    return np.random.default_rng(5).permutation(labels)


def counts(targets: NDArray[np.int64], indices: NDArray[np.int64], num: int) -> list[int]:
    return list(map(int, np.bincount(targets[indices], minlength=num)))


def test_limit_takes_each_class_in_proportion() -> None:
    targets = shuffled([300] * 10)
    kept = limit(targets, 1200, generator())
    assert counts(targets, kept, 10) == [120] * 10
    assert kept.dtype == np.int64
    assert (np.diff(kept) > 0).all()


def test_limit_gives_the_rest_to_the_largest_remainders() -> None:
    # Shares of 10 among 5, 3, 12: 2.5, 1.5, 6.0; the tie goes to the lower class.
    targets = shuffled([5, 3, 12])
    assert counts(targets, limit(targets, 10, generator()), 3) == [3, 1, 6]
    # Shares of 4 among 7, 2, 1: 2.8, 0.8, 0.4
    targets = shuffled([7, 2, 1])
    assert counts(targets, limit(targets, 4, generator()), 3) == [3, 1, 0]


@pytest.mark.parametrize("most", [None, 8, 100])
def test_limit_that_does_not_bind_keeps_all(most: int | None) -> None:
    assert limit(shuffled([3, 5]), most, generator()).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_limit_depends_on_the_generator_alone() -> None:
    targets = shuffled([50] * 4)
    first = limit(targets, 40, generator(0)).tolist()
    assert first == limit(targets, 40, generator(0)).tolist()
    assert first != limit(targets, 40, generator(1)).tolist()


def test_limit_takes_the_lowest_words_of_each_class() -> None:
    targets = shuffled([6, 6])
    words = np.random.PCG64(3).random_raw(12)
    expected = sorted(
        index
        for label in (0, 1)
        for index in sorted(np.flatnonzero(targets == label), key=lambda i: words[i])[:2]
    )
    assert limit(targets, 4, generator(3)).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 200), st.integers(0, 3))
def test_limit_is_exact_and_within_one_of_proportional(
    sizes: list[int], most: int, seed: int
) -> None:
    targets = shuffled(sizes)
    kept = limit(targets, most, generator(seed))
    total = min(most, len(targets))
    assert len(set(kept.tolist())) == len(kept) == total
    for size, count in zip(sizes, counts(targets, kept, len(sizes)), strict=True):
        assert count <= size
        assert abs(count - Fraction(total * size, max(len(targets), 1))) < 1


def test_validation_is_stratified_and_exact() -> None:
    targets = shuffled([120] * 10)
    train, validation = carve_validation(targets, 0.1, generator())
    assert counts(targets, train, 10) == [108] * 10
    assert counts(targets, validation, 10) == [12] * 10
    assert sorted([*train, *validation]) == list(range(1200))


def test_no_fraction_gives_no_validation() -> None:
    train, validation = carve_validation(shuffled([3, 4]), 0.0, generator())
    assert train.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert validation.tolist() == []
    assert validation.dtype == np.int64


def test_a_small_class_keeps_one_for_training() -> None:
    # Shares of 11 among 2 and 10: 1.83 and 9.17, which would empty class 0.
    targets = shuffled([2, 10])
    train, validation = carve_validation(targets, 0.8, generator())
    assert len(validation) == 10
    assert counts(targets, train, 2) == [1, 1]


def test_the_only_image_of_a_class_trains() -> None:
    targets = shuffled([1, 1, 1, 5])
    train, _ = carve_validation(targets, 0.5, generator())
    assert counts(targets, train, 4) == [1, 1, 1, 1]


def test_the_only_images_validate_where_there_are_no_others() -> None:
    train, validation = carve_validation(shuffled([1] * 10), 0.1, generator())
    assert (len(train), len(validation)) == (9, 1)


def test_a_fraction_that_would_empty_a_class_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        carve_validation(shuffled([2, 2]), 0.9, generator())
    assert str(caught.value) == (
        "validation_fraction 0.9 takes 4 of 4 training images and leaves some of 2 classes none; "
        "lower it or use more images"
    )


def test_validation_depends_on_the_generator_alone() -> None:
    targets = shuffled([50] * 4)
    first = carve_validation(targets, 0.2, generator(0))[1].tolist()
    assert first == carve_validation(targets, 0.2, generator(0))[1].tolist()
    assert first != carve_validation(targets, 0.2, generator(1))[1].tolist()


@settings(max_examples=80, deadline=None)
@given(SIZES, st.floats(0, 0.999), st.integers(0, 3))
def test_carving_is_a_partition_that_leaves_every_class_something(
    sizes: list[int], fraction: float, seed: int
) -> None:
    targets = shuffled(sizes)
    wanted = round(fraction * len(targets))
    spare = sum(size - 1 if size > 1 else size for size in sizes)
    assume(wanted <= spare)
    train, validation = carve_validation(targets, fraction, generator(seed))
    assert sorted([*train, *validation]) == list(range(len(targets)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert len(validation) == wanted
    left = counts(targets, train, len(sizes))
    assert all(kept >= 1 for kept, size in zip(left, sizes, strict=True) if size >= 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=8), st.floats(0, 0.4))
def test_validation_is_within_one_of_proportional(sizes: list[int], fraction: float) -> None:
    targets = shuffled(sizes)
    _, validation = carve_validation(targets, fraction, generator())
    for size, count in zip(sizes, counts(targets, validation, len(sizes)), strict=True):
        assert abs(count - Fraction(len(validation) * size, len(targets))) < 1


def test_index_hash_is_of_little_endian_int64() -> None:
    content = bytes([1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0])
    expected = hashlib.sha256(content).hexdigest()[:16]
    assert index_hash(np.array([1, 258], dtype=np.int64)) == expected
    assert index_hash(np.array([1, 9, 258, 9], dtype=np.int64)[::2]) == expected
    assert index_hash(np.array([1, 258], dtype=">i8")) == expected
    assert index_hash(np.array([], dtype=np.int64)) == "e3b0c44298fc1c14"
    assert index_hash(np.array([258, 1], dtype=np.int64)) != expected


def grouped(num_groups: int, num_classes: int, each: int) -> tuple[NDArray[np.int64], ...]:
    """Groups of `each` examples of every class, under numbers with gaps, shuffled."""
    groups = np.repeat(np.arange(num_groups) * 7 + 3, num_classes * each).astype(np.int64)
    targets = np.tile(np.arange(num_classes), num_groups * each).astype(np.int64)
    order = np.random.default_rng(2).permutation(len(groups))
    return targets[order], groups[order]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(2, 30), st.integers(1, 5), st.integers(1, 3), st.floats(0, 0.9), st.integers(0, 3)
)
def test_groups_stand_on_one_side_and_classes_stay_equal(
    num: int, classes: int, each: int, fraction: float, seed: int
) -> None:
    assume(round(fraction * num) < num)
    targets, groups = grouped(num, classes, each)
    train, validation = carve_validation(targets, fraction, generator(seed), groups)
    assert sorted([*train, *validation]) == list(range(len(targets)))
    assert not set(groups[train]) & set(groups[validation])
    assert len(set(groups[validation])) == round(fraction * num)
    assert len(set(counts(targets, validation, classes))) == 1
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 3), st.integers(1, 400))
def test_a_limit_takes_as_many_whole_groups_as_fit(
    num: int, classes: int, each: int, most: int
) -> None:
    targets, groups = grouped(num, classes, each)
    size = classes * each
    assume(most >= size)
    kept = limit(targets, most, generator(), groups)
    assert len(kept) == min(most // size, num) * size
    assert all(np.sum(groups == group) == size for group in set(groups[kept]))
    assert len(set(counts(targets, kept, classes))) == 1
    assert (np.diff(kept) > 0).all()


def test_which_groups_depends_on_the_generator_alone() -> None:
    targets, groups = grouped(20, 2, 1)
    first = carve_validation(targets, 0.3, generator(0), groups)[1]
    assert first.tolist() == carve_validation(targets, 0.3, generator(0), groups)[1].tolist()
    assert first.tolist() != carve_validation(targets, 0.3, generator(1), groups)[1].tolist()
    # Examples of the same groups in another order are split alike.
    order = np.random.default_rng(9).permutation(len(groups))
    other = carve_validation(targets[order], 0.3, generator(0), groups[order])[1]
    assert set(groups[order][other]) == set(groups[first])


def test_too_few_groups_are_told() -> None:
    targets, groups = grouped(2, 3, 1)
    with pytest.raises(RequestError) as caught:
        carve_validation(targets, 0.9, generator(), groups)
    assert str(caught.value) == (
        "validation_fraction 0.9 takes 2 of 2 groups of training examples and leaves none; lower "
        "it or use more"
    )
    with pytest.raises(RequestError) as caught:
        limit(targets, 2, generator(), groups)
    assert str(caught.value) == (
        "a limit of 2 examples is less than one group of 3 that must stay together; raise it"
    )
