"""Ranks, cliques and interquartile means against Demsar's example, scipy, and enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sftbench.verdicts.across import (
    interquartile_difference,
    interquartile_interval,
    interquartile_mean,
    mean_improvement,
    rank_groups,
    signed_rank_p,
)

# Demsar 2006, table 6: AUC of C4.5, with m, with cf, with both, on 14 data sets. `voting` is
# printed as 0.975 twice, with ranks 2 and 3.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.9749],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_the_example_of_demsar() -> None:
    found = rank_groups(DEMSAR, alpha=0.1)
    assert [round(rank, 3) for rank in found.mean_ranks] == [3.143, 2.000, 2.893, 1.964]
    # His chi square, 9.28, is not corrected for ties; the correction divides by what is left.
    ranks = np.array([stats.rankdata(-row) for row in DEMSAR])
    plain = 12 * 14 / 20 * (np.square(ranks.mean(axis=0)).sum() - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    tied = sum(
        (counts**3 - counts).sum()
        for row in ranks
        for counts in [np.unique(row, return_counts=True)[1]]
    )
    assert found.chi_square == pytest.approx(plain / (1 - tied / (14 * (4**3 - 4))))
    # "The critical value for alpha 0.10 is 2.291 and CD is 1.12": C4.5 is worse than m and m+cf.
    assert found.critical_difference == pytest.approx(1.12, abs=0.005)
    assert found.cliques == ((3, 1, 2), (2, 0))
    # At 0.05 Friedman still rejects, and CD = 2.569 * sqrt(20 / 84) holds the extremes together.
    strict = rank_groups(DEMSAR, alpha=0.05)
    assert strict.critical_difference == pytest.approx(2.569 * np.sqrt(20 / 84), abs=0.001)
    assert strict.cliques == ((3, 1, 2, 0),)


@pytest.mark.parametrize(
    ("groups", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)]
)
def test_the_critical_values_are_those_of_demsars_table_5(groups: int, q: float) -> None:
    found = rank_groups(np.tile(np.arange(groups, dtype=float), (6, 1)))
    expected = q * np.sqrt(groups * (groups + 1) / 36)
    assert found.critical_difference == pytest.approx(expected, abs=0.002)


def test_a_missing_mean_ranks_last_and_shares_that_place() -> None:
    gains = [[0.5, np.nan, 0.7, np.nan], [0.5, 0.6, 0.7, 0.1]]
    assert rank_groups(gains).mean_ranks == (2.5, 2.75, 1.0, 3.75)
    # Behind every mean, however bad.
    assert rank_groups([[-1e9, np.nan, 0.0]]).mean_ranks == (2.0, 3.0, 1.0)


def test_ties_are_ties() -> None:
    found = rank_groups(np.full((5, 3), 0.1 + 0.2) - [[0.0, 0.0, 5e-17]])
    assert found.mean_ranks == (2.0, 2.0, 2.0)
    assert (found.chi_square, found.p, found.cliques) == (0.0, 1.0, ((0, 1, 2),))


def test_without_friedman_nothing_is_told_apart() -> None:
    gains = [[3, 2, 1], [2, 1, 3], [3, 1, 2], [1, 3, 2], [3, 1, 2]]
    found = rank_groups(gains)
    assert found.p > 0.05
    assert found.cliques == ((0, 2, 1),)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 7), st.integers(5, 30))
def test_cliques_are_every_maximal_run(seed: int, groups: int, datasets: int) -> None:
    generator = np.random.default_rng(seed)
    gains = generator.normal(size=(datasets, groups)) + generator.normal(scale=2, size=groups)
    found = rank_groups(gains)
    if found.p >= 0.05:
        assert len(found.cliques) == 1
        return
    order = sorted(range(groups), key=lambda one: found.mean_ranks[one])
    runs = [
        set(order[first : last + 1])
        for first in range(groups)
        for last in range(first + 1, groups)
        if found.mean_ranks[order[last]] - found.mean_ranks[order[first]]
        < found.critical_difference
    ]
    maximal = [run for run in runs if not any(run < other for other in runs)]
    assert [set(clique) for clique in found.cliques] == maximal


def test_ranks_need_three_groups() -> None:
    with pytest.raises(ValueError, match=r"needs \[data sets, at least 3 groups\], got \[5, 2\]"):
        rank_groups(np.zeros((5, 2)))


@pytest.mark.parametrize("n", [5, 8, 14])
def test_the_signed_rank_test_agrees_with_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.5, 1.0, n)
    oracle = stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank_p(values) == pytest.approx(oracle)
    assert signed_rank_p(np.arange(1, n + 1)) == 2 / 2**n


def test_the_signed_rank_test_with_ties_and_zeros_by_enumeration() -> None:
    values = np.array([0.0, 0.1, 0.1, -0.1, 0.4, 0.4])
    ranks = stats.rankdata(np.abs(values)) * (values != 0)
    observed = abs(np.sum(np.sign(values) * ranks))
    every = [abs(np.dot(signs, ranks)) for signs in product((-1, 1), repeat=6)]
    assert signed_rank_p(values) == np.mean([one >= observed for one in every])
    assert signed_rank_p([0.0] * 5) == 1.0


def test_the_interquartile_mean_is_over_the_runs_of_all_data_sets() -> None:
    assert interquartile_mean(np.arange(1, 9)) == 4.5  # of 3, 4, 5, 6
    found = interquartile_interval([[0.0, 1.0], [0.5, 0.6, 0.7, 0.8, 0.9, 9.0]], seed=0)
    assert found.value == pytest.approx((0.6 + 0.7 + 0.8 + 0.9) / 4)


def test_the_bootstrap_draws_runs_within_each_data_set() -> None:
    # Four runs: every pair of resamples of two data sets of two seeds is equally likely.
    runs = [[0.1, 0.4], [0.6, 0.9]]
    every = [
        stats.trim_mean([*first, *second], 0.25)
        for first in product(runs[0], repeat=2)
        for second in product(runs[1], repeat=2)
    ]
    found = interquartile_interval(runs, seed=3)
    # Two seeds resampled vary by half of what they should; two degrees are left of four runs.
    half = stats.t.ppf(0.975, 2) * np.std(every) * np.sqrt(2)
    assert found.high - found.value == pytest.approx(half, rel=0.03)
    assert found.low - found.value == pytest.approx(-half, rel=0.03)


def test_resampling_by_counts_is_the_trimmed_mean_of_what_was_drawn() -> None:
    generator = np.random.default_rng(2)
    runs = [np.round(generator.normal(0.6, 0.1, size), 2) for size in (3, 10, 300)]
    draws = np.random.Generator(np.random.PCG64(5))
    drawn = [one[draws.integers(len(one), size=(2000, len(one)))] for one in runs]
    means = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    error = means.std(ddof=1) * np.sqrt(313 / 310)
    found = interquartile_interval(runs, seed=5)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 310) * error, rel=1e-9)


def test_the_difference_is_paired() -> None:
    base = np.random.default_rng(1).normal(0.7, 0.1, size=(5, 7))
    shifted = [np.stack([one + 0.05, one]) for one in base]
    found = interquartile_difference(shifted, seed=0)
    # The noise of the seeds is the same in both, so nothing is left of it.
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05))
    assert interquartile_difference([np.stack([one, one]) for one in base], seed=0).high == 0.0


def test_mean_improvement_is_the_mean_over_data_sets() -> None:
    scores = [np.array([[0.9, 0.9], [0.1, 0.1]]), np.array([[0.5, 0.7], [0.5, 0.6]])]
    # 1 in the first; in the second 1/2 + 0 + 1 + 1 over four pairs.
    assert mean_improvement(scores, seed=0).value == pytest.approx((1 + 2.5 / 4) / 2)
    swapped = mean_improvement([one[::-1] for one in scores], seed=0)
    found = mean_improvement(scores, seed=0)
    assert (found.low, found.high) == pytest.approx((1 - swapped.high, 1 - swapped.low))
    assert found.low < found.value < found.high


def test_one_seed_gives_no_interval() -> None:
    found = interquartile_interval([[0.5], [0.7, 0.8]], seed=0)
    assert (found.low, found.high) == (None, None)
    assert mean_improvement([np.array([[0.5], [0.4]])], seed=0).low is None
    with pytest.raises(ValueError, match=r"needs finite scores \[groups, seeds\], got \[1, 1\]"):
        interquartile_interval([[np.nan]], seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 7, 20])
def test_the_interquartile_interval_holds_its_coverage(seeds: int) -> None:
    # Five data sets, normal seeds; the two standard errors of the simulation are 0.014.
    generator = np.random.default_rng(0)
    means = np.linspace(0.5, 0.9, 5)
    inside = []
    for trial in range(1_000):
        runs = list(means[:, None] + generator.normal(0, 0.02, (5, seeds)))
        found = interquartile_interval(runs, seed=trial)
        inside.append(found.low <= 0.7 <= found.high)
    assert 0.93 <= np.mean(inside) <= 0.97, np.mean(inside)
