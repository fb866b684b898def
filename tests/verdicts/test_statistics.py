from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sftbench.evaluation import resampling
from sftbench.verdicts import statistics as sut


def accuracy(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    """K = 2 C: hits by class, then examples by class."""
    hits, counts = np.split(sums, 2, axis=-1)
    return (hits / counts).mean(axis=-1)


def with_counts(hits: np.ndarray) -> np.ndarray:
    """[S, N] of 0 and 1 -> [S, N, 2]."""
    return np.stack([hits, np.ones_like(hits)], axis=-1).astype(float)


# sign flip


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (5, 2 / 32), (6, 2 / 64), (7, 2 / 128)])
def test_all_same_sign_gives_the_smallest_p(n: int, p: float) -> None:
    values = np.arange(1, n + 1) / 100
    assert sut.sign_flip_p(values) == p
    assert sut.sign_flip_p(-values) == p
    assert sut.smallest_sign_flip_p(n) == p


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
        # |sum| over the 8 patterns of 1, 2, 4: 7 5 3 1, each twice; observed 5.
        ([-1.0, 2.0, 4.0], 4 / 8),
        # Four equal values, one negative: |sum| = 4 twice, 2 eight times, 0 six times.
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),
        # A zero doubles every count and changes no p.
        ([1.0, 2.0, 0.0], 2 / 4),
        # 0.1 + 0.2 - 0.3 is 5.6e-17 in floats: a tie of all patterns, not one to be beaten.
        ([0.1, 0.2, -0.3], 1.0),
    ],
)
def test_sign_flip_by_hand(differences: list[float], p: float) -> None:
    assert sut.sign_flip_p(differences) == p


@pytest.mark.parametrize("n", [2, 4, 7, 10])
def test_sign_flip_agrees_with_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.4, 1.0, size=n)
    oracle = stats.permutation_test(
        (values,), lambda x, axis: abs(x.mean(axis=axis)), permutation_type="samples",
        alternative="greater", n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert sut.sign_flip_p(values) == pytest.approx(oracle.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 13])
def test_every_pattern_is_counted_once(n: int) -> None:
    generator = np.random.default_rng(n)
    signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    for scale in (1.0, 3.0):
        # Of few different values, so that many patterns tie with the observed one.
        values = np.round(generator.normal(0.3, scale, size=n), 1)
        sums = np.round(np.abs(signs @ values), 9)
        assert sut.sign_flip_p(values) == np.mean(sums >= round(abs(values.sum()), 9))


def test_sign_flip_above_20_is_random_and_repeatable() -> None:
    assert sut.sign_flip_p(np.ones(25)) == 1 / (2**20 + 1)
    values = np.random.default_rng(3).normal(0.3, 1.0, size=24)
    assert sut.sign_flip_p(values) == sut.sign_flip_p(values)


def test_exact_and_random_forms_meet_at_20() -> None:
    values = np.random.default_rng(8).normal(0.3, 1.0, size=20)
    # A zero changes no exact p; with it the random form is taken.
    assert sut.sign_flip_p(np.append(values, 0.0)) == pytest.approx(
        sut.sign_flip_p(values), abs=0.003
    )


def test_sign_flip_refuses_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"values must be finite, got \[0.1, nan\]"):
        sut.sign_flip_p([0.1, math.nan])
    with pytest.raises(ValueError, match=r"one value a seed is needed, got shape \(2, 1\)"):
        sut.sign_flip_p([[0.1], [0.2]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9), st.integers(0, 1000))
def test_sign_flip_ignores_order_and_side(values: list[float], seed: int) -> None:
    p = sut.sign_flip_p(values)
    shuffled = np.random.default_rng(seed).permutation(values)
    assert sut.sign_flip_p(-shuffled) == pytest.approx(p, abs=1e-12)
    assert sut.smallest_sign_flip_p(len(values)) <= p <= 1.0


# seeds needed


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (3, 7), (11, 9)])
def test_seeds_needed(comparisons: int, seeds: int) -> None:
    assert sut.seeds_needed(comparisons) == seeds


def test_seeds_needed_is_strict_and_can_be_impossible() -> None:
    assert sut.seeds_needed(1, alpha=2 / 64) == 7
    with pytest.raises(ValueError, match="num_comparisons must be at least 1, got 0"):
        sut.seeds_needed(0)
    with pytest.raises(ValueError, match="no number of seeds reaches alpha 1e-09 over 2 comp"):
        sut.seeds_needed(2, alpha=1e-9)


# Holm


def test_holm_literal_in_order() -> None:
    # Sorted .01 .03 .04: x3 = .03, x2 = .06, x1 = .04 raised to .06.
    np.testing.assert_allclose(sut.holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06], rtol=1e-12)
    np.testing.assert_allclose(sut.holm([0.6, 0.7]), [1.0, 1.0])
    np.testing.assert_allclose(sut.holm([2 / 128] * 3), [6 / 128] * 3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([0.001, 2 / 128, 0.03, 0.3, 1.0]) | st.floats(0, 1), min_size=1))
def test_holm_is_that_of_statsmodels_to_the_last_bit(values: list[float]) -> None:
    assert sut.holm(values).tolist() == multipletests(values, method="holm")[1].tolist()


def test_holm_edges() -> None:
    assert sut.holm([]).shape == (0,)
    assert sut.holm([0.02]).tolist() == [0.02]
    with pytest.raises(ValueError, match=r"p-values must lie between 0 and 1, got \[1.5\]"):
        sut.holm([1.5])


# seed interval


def test_seed_interval_literal_and_scipy() -> None:
    # Mean 2, sd 1, t(.975; 2) = 4.302653: half width 4.302653 / sqrt 3 = 2.484138.
    assert sut.seed_interval([1.0, 2.0, 3.0]) == pytest.approx((-0.484138, 4.484138), abs=1e-6)
    values = np.random.default_rng(0).normal(size=7)
    oracle = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert sut.seed_interval(values, level=0.9) == pytest.approx((oracle.low, oracle.high))


def test_seed_interval_edges() -> None:
    assert sut.seed_interval([]) is None
    assert sut.seed_interval([0.8]) is None
    assert sut.seed_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


# population interval


def test_seeds_alone_give_the_t_interval_of_seeds() -> None:
    # Every example is alike within a seed: no variance of examples, no interaction.
    levels = np.array([0.1, 0.3, 0.2, 0.6])
    statistics = np.repeat(levels[:, None, None], 50, axis=1)
    zero = np.zeros_like(statistics)
    interval = sut.population_interval(statistics, zero, lambda x: x[..., 0] / 50, seed=0)
    assert interval is not None
    assert interval.estimate == pytest.approx(0.3)
    assert (interval.low, interval.high) == pytest.approx(sut.seed_interval(levels), abs=1e-12)
    assert interval.degrees == pytest.approx(3.0)


def test_examples_alone_give_the_standard_error_of_a_mean() -> None:
    # Every seed is alike: the difference is 1 on 30 of 100 examples, and 0 on the rest.
    hits = np.tile(np.arange(100) < 30, (5, 1))
    interval = sut.population_interval(
        with_counts(hits), with_counts(np.zeros_like(hits)), accuracy, seed=0
    )
    assert interval is not None
    assert interval.estimate == pytest.approx(0.3)
    # sqrt(.3 x .7 / 100); 2000 resamples leave 1.6 % of Monte Carlo error.
    assert interval.standard_error == pytest.approx(0.045826, rel=0.06)
    assert interval.degrees == pytest.approx(99.0)
    assert interval.high - 0.3 == pytest.approx(1.984217 * interval.standard_error)
    assert interval.excludes_zero


def test_interaction_is_counted_once() -> None:
    # Independent cells: both terms estimate sigma^2 / (S N), and their sum would be twice that.
    values = np.random.default_rng(5).normal(size=(200, 100, 1))
    interval = sut.population_interval_one(values, lambda x: x[..., 0] / 100, seed=0)
    assert interval is not None
    assert interval.standard_error == pytest.approx(1 / math.sqrt(200 * 100), rel=0.15)


def test_three_components_by_analysis_of_variance() -> None:
    generator = np.random.default_rng(11)
    num_seeds, n = 3, 400
    cells = (
        generator.normal(0, 0.15, size=(num_seeds, 1))
        + generator.normal(0, 0.8, size=(1, n))
        + generator.normal(0, 2.0, size=(num_seeds, n))
    )
    # Oracle: the two-way table's mean squares, without any bootstrap.
    row, column = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    ms_seed = n * row.var(ddof=1)
    ms_example = num_seeds * column.var(ddof=1)
    residual = cells - row - column + cells.mean()
    ms_residual = (residual**2).sum() / ((num_seeds - 1) * (n - 1))
    expected = (ms_seed + ms_example - ms_residual) / (num_seeds * n)
    # Above the floor, so that all three components are seen.
    assert expected > 1.1 * max(ms_seed, ms_example) / (num_seeds * n)
    interval = sut.population_interval_one(
        cells[..., None], lambda x: x[..., 0] / n, seed=0, num_resamples=8000
    )
    assert interval is not None
    assert interval.standard_error == pytest.approx(math.sqrt(expected), rel=0.02)


def test_resamples_are_shared_by_both_methods_and_all_seeds() -> None:
    # Hard and easy examples matter to each method, and cancel in the difference.
    easy = np.tile(np.arange(200) < 100, (4, 1)).astype(float)
    a, b = with_counts(easy), with_counts(easy)
    a[..., 0] += 0.25
    paired = sut.population_interval(a, b, accuracy, seed=0)
    alone = sut.population_interval_one(a, accuracy, seed=0)
    assert paired is not None
    assert alone is not None
    assert (paired.low, paired.high) == pytest.approx((0.25, 0.25), abs=1e-9)
    assert alone.standard_error == pytest.approx(math.sqrt(0.25 / 200), rel=0.06)


def test_interaction_alone_gives_the_t_interval_of_seeds() -> None:
    # Were the variance of examples floored at that of the mean, it would cover 98 %, not 95 %.
    generator, wider, covered = np.random.default_rng(3), 0, 0
    for trial in range(400):
        values = generator.normal(size=(6, 60, 1))
        found = sut.population_interval_one(
            values, lambda x: x[..., 0] / 60, seed=trial, num_resamples=200
        )
        assert found is not None
        low, high = sut.seed_interval(values.mean(axis=(1, 2))) or (0.0, 0.0)
        # The examples' own variance is estimated as 0 or a little more, so it is as wide or wider,
        # but for the degrees of freedom that come with what is more.
        wider += found.high - found.low > 0.8 * (high - low)
        covered += found.low <= 0.0 <= found.high
    assert wider > 380
    assert 0.93 <= covered / 400 <= 0.97


def test_seeds_that_agree_by_chance_leave_the_variance_of_the_mean() -> None:
    # Each of six seeds is right on one example of 50 more than the baseline, but on another one.
    extra = np.zeros((6, 50))
    extra[np.arange(6), np.arange(6)] = 1.0
    found = sut.population_interval(
        with_counts(extra), with_counts(np.zeros((6, 50))), accuracy, seed=0
    )
    assert found is not None
    assert found.estimate == pytest.approx(0.02)
    # The mean over seeds is 1/6 on 6 of 50 examples: SD sqrt(6/50 x 44/50) / 6 / sqrt(50).
    assert found.standard_error == pytest.approx(0.00766, rel=0.06)


def test_identical_methods_give_a_point_and_do_not_exclude_zero() -> None:
    hits = with_counts(np.random.default_rng(1).random((7, 60)) < 0.8)
    interval = sut.population_interval(hits, hits, accuracy, seed=4)
    assert interval == sut.Interval(0.0, 0.0, 0.0, 0.0, 6.0)
    assert interval is not None
    assert not interval.excludes_zero


def test_excludes_zero_is_of_the_closed_interval() -> None:
    assert not sut.Interval(0.1, 0.0, 0.2, 0.05, 6.0).excludes_zero
    assert sut.Interval(0.1, 1e-9, 0.2, 0.05, 6.0).excludes_zero
    assert sut.Interval(-0.1, -0.2, -1e-9, 0.05, 6.0).excludes_zero


def test_the_p_value_of_an_interval_is_that_of_its_t() -> None:
    made = sut.Interval(0.02, 0.0, 0.04, 0.02 / 2.446912, 6.0)
    assert made.p == pytest.approx(0.05, abs=1e-6)
    oracle = 2 * stats.t.sf(3.0, 4.5)
    assert sut.Interval(-0.3, -1.0, -0.1, 0.1, 4.5).p == pytest.approx(oracle, rel=1e-12)
    assert sut.Interval(0.0, 0.0, 0.0, 0.0, 6.0).p == 1.0
    assert sut.Interval(0.1, 0.1, 0.1, 0.0, 6.0).p == 0.0


def test_population_interval_depends_on_its_seed_only() -> None:
    generator = np.random.default_rng(2)
    a, b = (with_counts(generator.random((7, 80)) < rate) for rate in (0.9, 0.7))
    first, again, other = (
        sut.population_interval(a, b, accuracy, seed=s, num_resamples=100) for s in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    a, b = (with_counts(generator.random((3, 40)) < rate) for rate in (0.9, 0.7))
    whole = sut.population_interval(a, b, accuracy, seed=0, num_resamples=101)
    monkeypatch.setattr(resampling, "_CHUNK_VALUES", 40 * 7)
    monkeypatch.setattr(resampling, "_MOST_KEPT", 0)
    parts = sut.population_interval(a, b, accuracy, seed=0, num_resamples=101)
    assert whole is not None
    assert parts is not None
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_population_interval_is_antisymmetric_and_one_is_none() -> None:
    generator = np.random.default_rng(7)
    a, b = (with_counts(generator.random((5, 90)) < rate) for rate in (0.8, 0.6))
    there = sut.population_interval(a, b, accuracy, seed=0)
    back = sut.population_interval(b, a, accuracy, seed=0)
    assert there is not None
    assert back is not None
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert sut.population_interval(a[:1], b[:1], accuracy, seed=0) is None
    assert sut.population_interval_one(a[:1], accuracy, seed=0) is None


def rare_class(num_rare: int) -> np.ndarray:
    """[4, 100, 4] of two classes, `num_rare` examples in the second; about 70 % right."""
    second = np.arange(100) < num_rare
    right = np.random.default_rng(0).random((4, 100)) < 0.7
    counts = np.stack([~second, second], axis=-1).astype(float)
    return np.concatenate([right[..., None] * counts, np.broadcast_to(counts, (4, 100, 2))], -1)


def test_resamples_without_a_class_are_left_out() -> None:
    # Two examples of 100 are missing from 13 % of resamples.
    interval = sut.population_interval_one(rare_class(2), balanced_accuracy, seed=0)
    assert interval is not None
    assert math.isfinite(interval.low)
    assert interval.low < interval.estimate < interval.high
    # A class without any example has no recall, and the metric no value.
    assert sut.population_interval_one(rare_class(0), balanced_accuracy, seed=0) is None


def test_population_interval_refuses_other_shapes() -> None:
    good = np.ones((3, 10, 2))
    with pytest.raises(ValueError, match=r"must be \[seeds, examples, K\], got shape \(10, 2\)"):
        sut.population_interval(good[0], good[0], accuracy, seed=0)
    with pytest.raises(ValueError, match=r"must be \[seeds, examples, K\], got shape \(3, 0, 2\)"):
        sut.population_interval_one(good[:, :0], accuracy, seed=0)
    with pytest.raises(ValueError, match=r"must have one shape, got \(3, 10, 2\) and \(2, 10, 2\)"):
        sut.population_interval(good, good[:2], accuracy, seed=0)
    with pytest.raises(ValueError, match=r"metric must map \[..., K\] to \[...\], got \(\)"):
        sut.population_interval_one(good, np.sum, seed=0)


# proportions


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 10), (10, 10), (3, 10), (37, 120), (999, 1000)]
)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_clopper_pearson_agrees_with_two_oracles(successes: int, trials: int, level: float) -> None:
    low, high = sut.clopper_pearson(successes, trials, level)
    exact = stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-10)
    beta = proportion_confint(successes, trials, alpha=1 - level, method="beta")
    assert (low, high) == pytest.approx(beta, abs=1e-10)


def test_one_sided_bounds() -> None:
    # No success in n: upper bound 1 - .05^(1/n); for 10 that is .258866.
    assert sut.upper_bound(0, 10) == pytest.approx(0.258866, abs=1e-6)
    assert sut.lower_bound(10, 10) == pytest.approx(1 - 0.258866, abs=1e-6)
    assert sut.lower_bound(0, 10) == 0.0
    assert sut.upper_bound(10, 10) == 1.0
    test = stats.binomtest(30, 100, alternative="less").proportion_ci(0.95)
    assert sut.upper_bound(30, 100) == pytest.approx(test.high, abs=1e-10)


def test_bounds_without_trials_and_bad_counts() -> None:
    assert sut.clopper_pearson(0, 0) == (0.0, 1.0)
    assert sut.lower_bound(0, 0) == 0.0
    assert sut.upper_bound(0, 0) == 1.0
    for function in (sut.clopper_pearson, sut.lower_bound, sut.upper_bound):
        with pytest.raises(ValueError, match="need 0 <= successes <= trials, got 3 of 2"):
            function(3, 2)
    with pytest.raises(ValueError, match="got -1 of 2"):
        sut.ratio_shortfall_upper(1, 2, -1, 2)


def test_ratio_shortfall_literal() -> None:
    # z = 1.644854, z^2 = 2.705543. Tail 0 of 20: p' = 1.352772 / 22.705543 = .059579.
    # Head 90 of 100: p' = 91.352772 / 102.705543 = .889463. Difference -.385152.
    # Variance .056029 / 22.705543 + .098319 / 410.822174 = .00270697; root .052029; x z = .085580.
    assert sut.ratio_shortfall_upper(0, 20, 90, 100) == pytest.approx(-0.299572, abs=2e-6)


def test_ratio_shortfall_decides() -> None:
    assert sut.ratio_shortfall_upper(2, 40, 90, 100) < 0
    assert sut.ratio_shortfall_upper(18, 40, 90, 100) > 0
    # Two of nothing do not prove a collapse, and neither does a tail without images.
    assert sut.ratio_shortfall_upper(0, 2, 90, 100) > 0
    assert sut.ratio_shortfall_upper(0, 0, 90, 100) == 1.0
    assert sut.ratio_shortfall_upper(0, 20, 0, 0) == 1.0


@pytest.mark.parametrize(("tail_n", "head_n"), [(15, 50), (30, 100), (60, 20)])
@pytest.mark.parametrize("head_recall", [0.4, 0.8, 0.95])
def test_ratio_shortfall_errs_rarely_at_the_tie(
    tail_n: int, head_n: int, head_recall: float
) -> None:
    significant = np.array(
        [
            [sut.ratio_shortfall_upper(t, tail_n, h, head_n) < 0 for h in range(head_n + 1)]
            for t in range(tail_n + 1)
        ]
    )
    tail = stats.binom.pmf(np.arange(tail_n + 1), tail_n, head_recall / 2)
    head = stats.binom.pmf(np.arange(head_n + 1), head_n, head_recall)
    assert float(tail @ significant @ head) < 0.065


def test_binomial_standard_error() -> None:
    assert sut.binomial_standard_error(0.8, 100) == pytest.approx(0.04)
    assert sut.binomial_standard_error(1.0, 100) == 0.0
    assert sut.binomial_standard_error(0.5, 0) == math.inf
    with pytest.raises(ValueError, match=r"got p=1.2, n=10"):
        sut.binomial_standard_error(1.2, 10)


def test_import_is_light() -> None:
    code = (
        "import sys, sftbench.verdicts.statistics;"
        "print([m for m in ('torch', 'statsmodels', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
