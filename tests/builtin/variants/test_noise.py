from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sftbench.api import RequestError, Subset, VariantContext
from sftbench.builtin.variants.noise import LabelNoise, LabelNoiseOptions
from sftbench.options import validate
from sftbench.seeding import numpy_generator


def noisy(share: float, targets: NDArray[np.int64], classes: int, seed: int = 0) -> Subset:
    ctx = VariantContext(classes, lambda *key: numpy_generator("variant", seed, "d", *key))
    return LabelNoise(LabelNoiseOptions(share=share)).apply(targets, ctx)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=80), st.floats(0, 1))
def test_exactly_the_share_is_wrong_and_every_example_stays(
    labels: list[int], share: float
) -> None:
    targets = np.array(labels, dtype=np.int64)
    subset = noisy(share, targets, 5)
    assert subset.indices.tolist() == list(range(len(labels)))
    assert np.count_nonzero(subset.targets != targets) == round(share * len(labels))
    assert set(subset.targets.tolist()) <= {0, 1, 2, 3, 4}
    assert targets.tolist() == labels


def test_wrong_labels_are_uniform_over_the_other_classes() -> None:
    # All of 8,000 labels of each class spoilt: 2,000 expected for each of 4 others, SD 39.
    targets = np.repeat(np.arange(5), 8000)
    wrong = noisy(1.0, targets, 5).targets
    for label in range(5):
        others = np.bincount(wrong[targets == label], minlength=5)
        assert others[label] == 0
        assert np.abs(np.delete(others, label) - 2000).max() < 160


def test_spoilt_examples_are_spread_over_the_data() -> None:
    targets = np.zeros(10_000, dtype=np.int64)
    places = np.flatnonzero(noisy(0.3, targets, 3).targets)
    assert len(places) == 3000
    assert abs(places.mean() - 4999.5) < 250


def test_more_noise_spoils_the_same_examples_the_same_way_and_others() -> None:
    targets = np.arange(200) % 4
    some, more = noisy(0.2, targets, 4).targets, noisy(0.5, targets, 4).targets
    spoilt = some != targets
    assert spoilt.sum() == 40
    assert some[spoilt].tolist() == more[spoilt].tolist()


def test_another_seed_is_other_noise() -> None:
    targets = np.arange(200) % 4
    assert noisy(0.2, targets, 4).targets.tolist() == noisy(0.2, targets, 4).targets.tolist()
    assert noisy(0.2, targets, 4).targets.tolist() != noisy(0.2, targets, 4, 1).targets.tolist()


def test_two_classes_swap() -> None:
    assert noisy(1.0, np.array([0, 1, 1]), 2).targets.tolist() == [1, 0, 0]


def test_one_class_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        noisy(0.2, np.zeros(5, dtype=np.int64), 1)
    assert str(caught.value) == "variant 'labelnoise:0.2' needs at least 2 classes"


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        validate(LabelNoiseOptions, {"share": 20}, "v")
    assert str(caught.value) == "v: share = 20: input should be less than or equal to 1"
