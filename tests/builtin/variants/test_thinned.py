from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.workspaces import make_warm, make_workspace

from sftbench.api import RequestError, VariantContext
from sftbench.api import Subset as Kept
from sftbench.builtin.variants.thinned import (
    FewShot,
    FewShotOptions,
    Labels,
    LabelsOptions,
    Subset,
    SubsetOptions,
    seeded_order,
)
from sftbench.builtin.variants.whole import Balanced
from sftbench.options import validate
from sftbench.seeding import numpy_generator


def context(num_classes: int, seed: int = 0) -> VariantContext:
    return VariantContext(num_classes, lambda *key: numpy_generator("variant", seed, "d", *key))


def shuffled(sizes: list[int]) -> NDArray[np.int64]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(5).permutation(labels)


def fewshot(k: int, targets: NDArray[np.int64], classes: int, seed: int = 0) -> Kept:
    return FewShot(FewShotOptions(k=k)).apply(targets, context(classes, seed))


def subset(share: float, targets: NDArray[np.int64], classes: int, seed: int = 0) -> Kept:
    return Subset(SubsetOptions(share=share)).apply(targets, context(classes, seed))


def labels(n: int, targets: NDArray[np.int64], classes: int, seed: int = 0) -> Kept:
    return Labels(LabelsOptions(n=n)).apply(targets, context(classes, seed))


def counts(kept: Kept) -> list[int]:
    return list(map(int, np.bincount(kept.targets)))


def test_balanced_is_the_identity_and_shares_no_memory() -> None:
    targets = shuffled([3, 5])
    kept = Balanced().apply(targets, context(2))
    assert kept.indices.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert kept.targets.tolist() == targets.tolist()
    assert not np.shares_memory(kept.targets, targets)
    assert Balanced().reference == "balanced"


def test_fewshot_keeps_k_of_each_class() -> None:
    targets = shuffled([30, 9, 20])
    kept = fewshot(7, targets, 3)
    assert counts(kept) == [7, 7, 7]
    assert kept.targets.tolist() == targets[kept.indices].tolist()
    assert (np.diff(kept.indices) > 0).all()
    assert FewShot(FewShotOptions(k=7)).reference == "fewshot:7"


def test_fewshot_takes_all_of_a_class_of_exactly_k() -> None:
    assert counts(fewshot(9, shuffled([30, 9]), 2)) == [9, 9]


@pytest.mark.parametrize(
    ("sizes", "classes", "label", "has"), [([30, 9, 20], 3, 1, 9), ([30, 20], 3, 2, 0)]
)
def test_fewshot_refuses_a_class_that_has_fewer(
    sizes: list[int], classes: int, label: int, has: int
) -> None:
    with pytest.raises(RequestError) as caught:
        fewshot(10, shuffled(sizes), classes)
    assert str(caught.value) == (
        f"variant 'fewshot:10': class {label} has {has} training images after validation was "
        "taken; lower K or use more training images"
    )


def test_subset_keeps_the_share_of_each_class_and_at_least_one() -> None:
    targets = shuffled([100, 30, 2, 1])
    kept = subset(0.1, targets, 4)
    assert counts(kept) == [10, 3, 1, 1]
    assert kept.targets.tolist() == targets[kept.indices].tolist()
    assert (np.diff(kept.indices) > 0).all()
    assert Subset(SubsetOptions(share=0.1)).reference == "subset:0.1"


def test_subset_rounds_halves_to_even() -> None:
    assert counts(subset(0.5, shuffled([5, 7]), 2)) == [2, 4]


def test_subset_of_everything_is_everything() -> None:
    assert subset(1.0, shuffled([5, 7]), 2).indices.tolist() == list(range(12))


def test_another_seed_is_another_choice() -> None:
    targets = shuffled([50, 50])
    assert (
        fewshot(10, targets, 2, 0).indices.tolist() == fewshot(10, targets, 2, 0).indices.tolist()
    )
    assert (
        fewshot(10, targets, 2, 0).indices.tolist() != fewshot(10, targets, 2, 1).indices.tolist()
    )


def test_fewshot_and_subset_of_one_size_are_the_same_images() -> None:
    targets = shuffled([50, 50])
    assert fewshot(10, targets, 2).indices.tolist() == subset(0.2, targets, 2).indices.tolist()


def test_labels_are_of_every_class_alike() -> None:
    targets = shuffled([30, 9, 20])
    assert counts(labels(21, targets, 3)) == [7, 7, 7]
    kept = labels(23, targets, 3)
    assert sorted(counts(kept)) == [7, 8, 8]
    assert kept.targets.tolist() == targets[kept.indices].tolist()
    assert labels(21, targets, 3).indices.tolist() == fewshot(7, targets, 3).indices.tolist()
    assert Labels(LabelsOptions(n=7)).reference == "labels:7"


def test_fewer_labels_lie_within_more_and_the_class_with_one_more_goes_by_the_seed() -> None:
    targets = shuffled([30, 30, 30])
    chosen = [set(labels(n, targets, 3).indices.tolist()) for n in range(3, 20)]
    assert all(small < large for small, large in pairwise(chosen))
    first = {int(np.argmax(counts(labels(4, targets, 3, seed)))) for seed in range(20)}
    assert first == {0, 1, 2}


def test_labels_that_cannot_be_had_are_refused() -> None:
    targets = shuffled([30, 9, 20])
    with pytest.raises(RequestError) as few:
        labels(2, targets, 3)
    assert str(few.value) == (
        "variant 'labels:2': 3 classes need at least one labelled image each; use labels:3 or more"
    )
    with pytest.raises(RequestError) as many:
        labels(30, targets, 3)
    assert str(many.value) == (
        "variant 'labels:30': class 1 has 9 training images after validation was taken, and 10 "
        "are to be labelled; lower N or use more training images"
    )


def test_what_has_no_label_is_there_for_streams() -> None:
    ws = make_workspace(make_warm(), variant="labels:8")
    data = ws.data
    assert data.train_counts.tolist() == [2, 2, 2, 2]
    assert len(data.rest_indices) == 48 - 8
    parts = [data.train_indices, data.val_indices, data.rest_indices]
    assert sorted(np.concatenate(parts).tolist()) == list(range(64))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (FewShotOptions, {"k": 0}, "v: k = 0: input should be greater than or equal to 1"),
        (SubsetOptions, {"share": 0}, "v: share = 0: input should be greater than 0"),
        (SubsetOptions, {"share": 2}, "v: share = 2: input should be less than or equal to 1"),
    ],
)
def test_wrong_options_are_refused(
    model: type[FewShotOptions | SubsetOptions], options: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        validate(model, options, "v")
    assert str(caught.value) == message


def test_seeded_order_is_a_permutation_that_never_changes() -> None:
    # PCG64's raw words are promised to stay, so this literal holds for every NumPy.
    order = seeded_order(8, np.random.Generator(np.random.PCG64(0)))
    words = np.random.PCG64(0).random_raw(8).tolist()
    assert order.tolist() == sorted(range(8), key=words.__getitem__)
    assert order.tolist() == [3, 2, 1, 6, 0, 7, 4, 5]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.floats(0.001, 1),
    st.floats(0.001, 1),
)
def test_smaller_choices_lie_within_larger_ones(sizes: list[int], one: float, other: float) -> None:
    targets, num = shuffled(sizes), len(sizes)
    low, high = sorted([one, other])
    small, large = subset(low, targets, num), subset(high, targets, num)
    assert set(small.indices) <= set(large.indices)
    assert counts(small) == [max(1, round(low * size)) for size in sizes]
    k = min(sizes)
    assert set(fewshot((k + 1) // 2, targets, num).indices) <= set(fewshot(k, targets, num).indices)
