from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftbench.engine.order import batch_sizes, batches, draw, num_draws
from sftbench.sampling import class_power


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@given(st.integers(1, 5000), st.integers(2, 300))
def test_batches_meet_the_budget_and_hold_no_lone_example(draws: int, size: int) -> None:
    sizes = batch_sizes(draws, size)
    assert sum(sizes) == draws
    assert all(one == size for one in sizes[:-1])
    assert 1 < sizes[-1] <= size + 1 or draws == 1


def test_the_default_budget_by_hand() -> None:
    assert num_draws(3, [1.0], 1080) == [3240]
    assert num_draws(1, [0.5, 0.5], 21) == [10, 11]
    assert batch_sizes(3240, 32) == [32] * 101 + [8]
    assert batch_sizes(65, 32) == [32, 33]


def test_without_sampler_each_example_occurs_once_an_epoch() -> None:
    order = draw(np.zeros(7, dtype=np.int64), 17, generator(), None)
    assert sorted(order[:7]) == list(range(7))
    assert sorted(order[7:14]) == list(range(7))
    assert len(order) == 17
    assert not np.array_equal(order[:7], order[7:14])


def test_the_order_depends_on_the_seed_alone() -> None:
    targets = np.zeros(50, dtype=np.int64)
    first, again = (draw(targets, 120, generator(3), None) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, draw(targets, 120, generator(4), None))


@pytest.mark.parametrize(("q", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_class_power_draws_classes_as_their_counts_to_the_power(q: float, share: float) -> None:
    targets = np.repeat([0, 1], [900, 100])
    order = draw(targets, 40_000, generator(), class_power(q))
    assert (targets[order] == 0).mean() == pytest.approx(share, abs=0.01)


def test_a_sampler_sees_how_far_the_stage_is() -> None:
    seen: list[float] = []

    def sampler(targets: np.ndarray, progress: float) -> np.ndarray:
        seen.append(progress)
        return np.ones(len(targets))

    draw(np.zeros(10, dtype=np.int64), 40, generator(), sampler)
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_batches_cut_the_order_in_turn() -> None:
    cut = [list(part) for part in batches(np.arange(7), 3)]
    assert cut == [[0, 1, 2], [3, 4, 5, 6]]


def test_examples_of_similar_length_share_a_batch_and_an_epoch_stays_one() -> None:
    lengths = np.random.default_rng(5).integers(1, 200, 1000)
    targets = np.zeros(1000, dtype=np.int64)
    drawn = draw(targets, 2500, generator(), None, lengths, 16)
    plain = draw(targets, 2500, generator(), None)

    def padded(positions: np.ndarray) -> int:
        return sum(int(lengths[some].max()) * len(some) for some in batches(positions, 16))

    assert padded(drawn) < 1.15 * lengths[drawn].sum()
    assert padded(plain) > 1.7 * lengths[plain].sum()
    assert np.array_equal(np.sort(drawn), np.sort(plain))
    # Batches run across the border of epochs: all but those of the one batch occur once.
    assert len(set(drawn[: 1000 // 16 * 16].tolist())) == 1000 // 16 * 16
    assert np.bincount(drawn[:2000], minlength=1000).max() == 2
    # Neither the shortest nor the longest come first.
    firsts = [lengths[some].max() for some in batches(drawn, 16)]
    assert 0.2 < np.mean(np.diff(firsts) > 0) < 0.8


def test_the_order_by_length_depends_on_the_seed_alone() -> None:
    lengths, targets = np.arange(50) % 7, np.zeros(50, dtype=np.int64)
    made = [draw(targets, 120, generator(seed), None, lengths, 8) for seed in (1, 1, 2)]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
