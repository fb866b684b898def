from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sftbench.api import RequestError, Subset, VariantContext
from sftbench.builtin.variants.imbalance import ImbalanceOptions, LongTail, StepImbalance
from sftbench.options import validate
from sftbench.seeding import numpy_generator


def context(num_classes: int, seed: int = 0) -> VariantContext:
    return VariantContext(num_classes, lambda *key: numpy_generator("variant", seed, "d", *key))


def shuffled(sizes: list[int]) -> NDArray[np.int64]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(5).permutation(labels)


def longtail(targets: NDArray[np.int64], classes: int, seed: int = 0, **options: object) -> Subset:
    options_ = validate(ImbalanceOptions, options, "variant")
    return LongTail(options_).apply(targets, context(classes, seed))


def step(targets: NDArray[np.int64], classes: int, **options: object) -> Subset:
    return StepImbalance(validate(ImbalanceOptions, options, "variant")).apply(
        targets, context(classes)
    )


def counts(subset: Subset) -> list[int]:
    return list(map(int, np.bincount(subset.targets)))


@pytest.mark.parametrize(
    ("ratio", "sizes"),
    [
        (10, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
        (50, [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]),
        (100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        (1, [5000] * 10),
    ],
)
def test_longtail_of_cifar10_has_the_published_sizes(ratio: int, sizes: list[int]) -> None:
    assert counts(longtail(shuffled([5000] * 10), 10, ratio=ratio)) == sizes


@pytest.mark.parametrize(("ratio", "total"), [(10, 20431), (50, 13996), (100, 12406)])
def test_longtail_of_cifar10_has_the_published_total(ratio: int, total: int) -> None:
    assert len(longtail(shuffled([5000] * 10), 10, ratio=ratio).indices) == total


@pytest.mark.parametrize(("ratio", "total"), [(10, 19573), (50, 12608), (100, 10847)])
def test_longtail_of_cifar100_has_the_published_total(ratio: int, total: int) -> None:
    subset = longtail(shuffled([500] * 100), 100, ratio=ratio)
    assert len(subset.indices) == total
    assert counts(subset)[0] == 500


def test_longtail_gives_the_labels_of_what_it_keeps_in_ascending_order() -> None:
    targets = shuffled([40] * 4)
    subset = longtail(targets, 4, ratio=10)
    assert (np.diff(subset.indices) > 0).all()
    assert subset.targets.tolist() == targets[subset.indices].tolist()
    assert subset.indices.dtype == subset.targets.dtype == np.int64


def test_longtail_reversed_makes_the_last_class_the_largest() -> None:
    subset = longtail(shuffled([100] * 3), 3, ratio=100, order="reversed")
    assert counts(subset) == [1, 10, 100]


def test_longtail_measures_from_the_largest_class_and_small_classes_keep_what_they_have() -> None:
    # int(100 * (1/4)^(i/2)) = 100, 50, 25
    assert counts(longtail(shuffled([60, 100, 20]), 3, ratio=4)) == [60, 50, 20]


def test_longtail_keeps_one_image_where_the_formula_gives_none() -> None:
    assert counts(longtail(shuffled([10] * 3), 3, ratio=1000)) == [10, 1, 1]


def test_longtail_of_one_class_keeps_it() -> None:
    assert counts(longtail(shuffled([7]), 1, ratio=10)) == [7]


def test_the_choice_depends_on_the_seed_and_on_nothing_else() -> None:
    targets = shuffled([50] * 5)
    first = longtail(targets, 5, seed=0, ratio=10).indices
    assert first.tolist() == longtail(targets, 5, seed=0, ratio=10).indices.tolist()
    assert first.tolist() != longtail(targets, 5, seed=1, ratio=10).indices.tolist()


def test_the_choice_is_the_same_in_every_release() -> None:
    targets = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1], dtype=np.int64)
    # Written down when first released: a change here makes old records incomparable.
    assert longtail(targets, 2, ratio=3).indices.tolist() == [0, 1, 2, 3, 4, 5, 8, 9]


def test_a_class_is_chosen_from_in_random_order() -> None:
    subset = longtail(np.repeat([0, 1], 200), 2, ratio=4)
    kept = subset.indices[subset.targets == 1] - 200
    assert len(kept) == 50
    assert 60 < kept.mean() < 140


def test_step_thins_the_later_half() -> None:
    assert counts(step(shuffled([100] * 4), 4, ratio=10)) == [100, 100, 10, 10]


def test_step_with_an_odd_number_of_classes_thins_the_larger_half() -> None:
    assert counts(step(shuffled([100] * 5), 5, ratio=10)) == [100, 100, 10, 10, 10]


def test_step_reversed_thins_the_first_half_and_rounds_down() -> None:
    assert counts(step(shuffled([100] * 4), 4, ratio=7, order="reversed")) == [14, 14, 100, 100]


def test_step_keeps_at_least_one_and_at_most_what_there_is() -> None:
    assert counts(step(shuffled([9, 30, 5, 2]), 4, ratio=10)) == [9, 30, 3, 2]
    assert counts(step(shuffled([4] * 2), 2, ratio=10)) == [4, 1]


def test_references() -> None:
    options = validate(ImbalanceOptions, {"ratio": "100"}, "variant")
    assert LongTail(options).reference == "longtail:100"
    assert StepImbalance(options).reference == "step:100"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.5}, "v: ratio = 0.5: input should be greater than or equal to 1"),
        ({"ratio": "inf"}, "v: ratio = 'inf': input should be a finite number"),
        ({"ratio": 2, "order": "up"}, "v: order = 'up': input should be 'given' or 'reversed'"),
        ({"ratios": 2, "ratio": 2}, "v has no option 'ratios'; did you mean 'ratio'? "),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        validate(ImbalanceOptions, options, "v")
    assert str(caught.value).startswith(message)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=8),
    st.floats(1, 300),
    st.floats(1, 300),
    st.sampled_from([longtail, step]),
)
def test_a_larger_ratio_keeps_a_part_and_no_class_is_lost(
    sizes: list[int], one: float, other: float, make: object
) -> None:
    targets, num = shuffled(sizes), len(sizes)
    low, high = sorted([one, other])
    larger = make(targets, num, ratio=low)  # type: ignore[operator]
    smaller = make(targets, num, ratio=high)  # type: ignore[operator]
    assert set(smaller.indices) <= set(larger.indices)
    kept = np.bincount(smaller.targets, minlength=num)
    assert (kept >= 1).all()
    assert (kept <= sizes).all()
