"""The statistics under a verdict: pure functions of numpy arrays, without torch.

Two estimands. *On this test set*: only seeds vary (`seed_interval`, `sign_flip_p`). *In the
population*: seeds and test examples vary (`population_interval`). Seeds are the unit of pairing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# scipy.stats takes half a second to import; the special functions are all that is needed.
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

from sftbench.evaluation.resampling import NUM_RESAMPLES, Metric, resample

Floats = NDArray[np.float64]

_EXACT_SEEDS = 20
_RANDOM_PATTERNS = 2**20
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided interval, with what the interval was made from.

    `standard_error` is in the unit of the estimate; `degrees` are those of Student's t.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    degrees: float

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the closed interval."""
        return self.low > 0.0 or self.high < 0.0

    @property
    def p(self) -> float:
        """Two-sided p-value of the estimate 0: below 1 - level where the interval excludes 0."""
        if self.standard_error == 0.0:
            return 1.0 if self.estimate == 0.0 else 0.0
        return 2.0 * float(stdtr(self.degrees, -abs(self.estimate) / self.standard_error))


def sign_flip_p(differences: ArrayLike) -> float:
    """Return the two-sided p-value of the paired sign-flip permutation test of mean 0.

    `differences` [n] holds one paired difference a seed. All 2^n patterns of signs are counted up
    to n = 20, so at n seeds p is at least 2 / 2^n. Above that, 2^20 seeded random patterns are
    drawn and p = (k + 1) / (m + 1). Patterns within 1e-12 of the observed mean (relative to the
    largest difference) count as ties, so rounding never makes p smaller. n = 0 gives 1.

    Source: Fisher 1935, "The Design of Experiments", chapter 3; for the random form Phipson &
    Smyth 2010, "Permutation P-values Should Never Be Zero".

    Raises:
        ValueError: If a difference is not finite, or `differences` is not one-dimensional.
    """
    values = finite_vector(differences)
    if not values.any():
        return 1.0
    # |sum| instead of |mean|: the same order, without a division.
    threshold = abs(float(values.sum())) - _TOLERANCE * float(np.abs(values).sum())
    if values.size <= _EXACT_SEEDS:
        return _exact_share(values, threshold)
    generator = np.random.Generator(np.random.PCG64(0))
    rows = 2**14
    hits = 0
    for _ in range(_RANDOM_PATTERNS // rows):
        flips = generator.integers(0, 2, size=(rows, values.size), dtype=np.int8)
        hits += int(np.sum(np.abs((2.0 * flips - 1.0) @ values) >= threshold))
    return (hits + 1) / (_RANDOM_PATTERNS + 1)


def smallest_sign_flip_p(n: int) -> float:
    """Return the smallest p-value that `sign_flip_p` can give with n seeds: 2 / 2^n up to 20."""
    if n > _EXACT_SEEDS:
        return 1.0 / (_RANDOM_PATTERNS + 1)
    return min(1.0, 2.0 / 2.0**n)


def seeds_needed(num_comparisons: int, alpha: float = 0.05) -> int:
    """Return the least number of seeds with which a Holm-adjusted p can fall below `alpha`.

    This is the least n with `num_comparisons * 2 / 2^n < alpha`.

    Raises:
        ValueError: If there is no comparison, or no number of seeds suffices.
    """
    if num_comparisons < 1:
        raise ValueError(f"num_comparisons must be at least 1, got {num_comparisons}")
    for n in range(1, _EXACT_SEEDS + 2):
        if num_comparisons * smallest_sign_flip_p(n) < alpha:
            return n
    raise ValueError(f"no number of seeds reaches alpha {alpha} over {num_comparisons} comparisons")


def holm(p_values: ArrayLike) -> Floats:
    """Return Holm's step-down adjusted p-values [m] in the order given; empty stays empty.

    A comparison that could not be made still belongs to the family: give it p = 1.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure". The
    bits are those of statsmodels (a test), whose function collects garbage at every call, which
    takes a tenth of a second in a large process.

    Raises:
        ValueError: If a p-value is not between 0 and 1.
    """
    values = finite_vector(p_values)
    if values.size == 0:
        return values
    if values.min() < 0.0 or values.max() > 1.0:
        raise ValueError(f"p-values must lie between 0 and 1, got {values.tolist()}")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def seed_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Return Student's t interval of the mean over seeds, *on this test set*.

    `values` [n] holds one value a seed. None for n < 2, where no variance can be seen.

    Raises:
        ValueError: If a value is not finite.
    """
    sample = finite_vector(values)
    if sample.size < 2:
        return None
    mean = float(sample.mean())
    error = float(sample.std(ddof=1)) / math.sqrt(sample.size)
    half = _t_quantile(sample.size - 1, level) * error
    return mean - half, mean + half


def population_interval(
    statistics_a: ArrayLike,
    statistics_b: ArrayLike,
    metric: Metric,
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
    level: float = 0.95,
) -> Interval | None:
    """Return the interval of the paired difference A - B *in the population* of seeds and examples.

    `statistics_a` and `statistics_b` [S, N, K]: S paired seeds, the same N test examples for
    every seed and both methods, K additive statistics an example. `metric` maps their sums over
    examples [..., K] to values [...]. One resample of the examples serves all seeds and both
    methods; `two_way_interval` says what follows. None for one seed, or where the metric is not
    defined.

    Raises:
        ValueError: If the shapes are not both [S, N, K] and equal, or there is no example.
    """
    a, b = _statistics_array(statistics_a), _statistics_array(statistics_b)
    if a.shape != b.shape:
        raise ValueError(f"paired statistics must have one shape, got {a.shape} and {b.shape}")
    first, second = (_resampled(each, metric, num_resamples, seed) for each in (a, b))
    return two_way_interval(first - second, a.shape[1], level)


def population_interval_one(
    statistics: ArrayLike,
    metric: Metric,
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
    level: float = 0.95,
) -> Interval | None:
    """Return the interval of one method's mean *in the population* of seeds and examples.

    `statistics` [S, N, K] and the method are those of `population_interval`.

    Raises:
        ValueError: If the shape is not [S, N, K], or there is no example.
    """
    only = _statistics_array(statistics)
    return two_way_interval(_resampled(only, metric, num_resamples, seed), only.shape[1], level)


def two_way_interval(values: Floats, num_examples: int, level: float = 0.95) -> Interval | None:
    """Return the interval of a mean over seeds *in the population* of seeds and examples.

    `values` [S, 1 + R] of each seed: its value d_s on the whole test set, then D[b, s] on each
    resample b of the `num_examples` examples, the same resamples for every seed. For a paired
    difference they are differences. None for one seed, or where a value is not defined. With

        V_seed = Var_s(d_s) / S                   seeds + interaction
        V_mean = Var_b(mean_s D)                  examples + interaction
        V_int  = max(0, mean_s Var_b(D[:, s]) - V_mean) / (S - 1)      interaction
        se^2   = V_seed + max(0, V_mean - V_int)

    the interaction of seed and example is in both first terms, hence subtracted once; what is left
    of V_mean is the examples' own variance, which is not below 0. Where seeds agree to the last
    digit, by chance or because nothing in them varies, se^2 = V_mean. Degrees of freedom by
    Satterthwaite from V_seed (S - 1), V_mean (N - 1) and V_int ((S - 1)(N - 1)), and no fewer than
    those of the smaller factor; interval d +- t * se.

    One form serves every S. The percentile form of the hierarchical bootstrap divides the variance
    over seeds by S, not S - 1, and has no Student's t: where seeds are all that varies, it covers
    75 % with 3 of them and 88 % with 7. With many seeds the two forms agree, so nothing is gained
    by a switch. With V_mean as a second floor of se^2 it would cover 98 % where all variance is
    interaction (docs/verdicts.md).

    Source: the model with two crossed random factors of Owen 2007, "The Pigeonhole Bootstrap",
    degrees by Satterthwaite 1946, "An Approximate Distribution of Estimates of Variance
    Components". Departs from Owen: only examples are resampled; seeds enter by sample variance.

    Raises:
        ValueError: If the shape is not [S, 1 + R] with two resamples or more.
    """
    if values.ndim != 2 or values.shape[1] < 3:
        raise ValueError(f"values must be [seeds, 1 + resamples], got shape {values.shape}")
    per_seed, resampled = values[:, 0], values[:, 1:]
    num_seeds, num_resamples = resampled.shape
    if num_seeds < 2 or not np.isfinite(per_seed).all():
        return None
    # A resample without any example of a class can leave a class-wise metric undefined.
    finite = np.isfinite(resampled).all(axis=0)
    if not finite.all():
        resampled = resampled[:, finite]
    if resampled.shape[1] < max(2, num_resamples / 2):
        return None
    v_seed = float(per_seed.var(ddof=1)) / num_seeds
    v_mean = float(resampled.mean(axis=0).var(ddof=1))
    v_each = float(resampled.var(axis=1, ddof=1).mean())
    v_interaction = max(0.0, v_each - v_mean) / (num_seeds - 1)
    v_total = v_seed + max(0.0, v_mean - v_interaction)
    if v_seed <= _TOLERANCE * v_mean:
        v_total = v_mean
    estimate = float(per_seed.mean())
    if v_total == 0.0:
        return Interval(estimate, estimate, estimate, 0.0, float(num_seeds - 1))
    # Shares of the total, not the squares themselves, which underflow for a tiny variance.
    degrees = (num_seeds - 1, max(1, num_examples - 1))
    parts = ((v_seed, degrees[0]), (v_mean, degrees[1]), (v_interaction, degrees[0] * degrees[1]))
    spread = sum((variance / v_total) ** 2 / count for variance, count in parts)
    effective = max(1.0 / spread, float(min(degrees)))
    error = math.sqrt(v_total)
    half = _t_quantile(effective, level) * error
    return Interval(estimate, estimate - half, estimate + half, error, effective)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a proportion; (0, 1) without trials.

    Source: Clopper & Pearson 1934, "The Use of Confidence or Fiducial Limits".

    Raises:
        ValueError: If not 0 <= successes <= trials.
    """
    one_sided = (1.0 + level) / 2.0
    low = lower_bound(successes, trials, one_sided)
    return low, upper_bound(successes, trials, one_sided)


def lower_bound(successes: int, trials: int, level: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a proportion; 0 without trials.

    Raises:
        ValueError: If not 0 <= successes <= trials.
    """
    _check_counts(successes, trials)
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, trials - successes + 1, 1.0 - level))


def upper_bound(successes: int, trials: int, level: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a proportion; 1 without trials.

    Raises:
        ValueError: If not 0 <= successes <= trials.
    """
    _check_counts(successes, trials)
    if successes == trials:
        return 1.0
    return float(betaincinv(successes + 1, trials - successes, level))


def ratio_shortfall_upper(
    tail_successes: int,
    tail_trials: int,
    head_successes: int,
    head_trials: int,
    level: float = 0.95,
) -> float:
    """Return a one-sided upper bound of tail recall minus half of head recall.

    Below 0: tail recall is significantly under half of head recall. With z the normal quantile of
    `level`, n' = n + z^2 and p' = (x + z^2 / 2) / n' for tail and head each:

        p'_t - p'_h / 2 + z * sqrt(p'_t (1 - p'_t) / n'_t + p'_h (1 - p'_h) / (4 n'_h))

    Without the added trials a tail without a success has variance 0, and up to 35 % of ties are
    called significant; with them 3 % on average and at most 7.4 %, by enumeration over 10 to 1000
    trials each. Without trials in one of the two nothing is known: 1.

    Source: Agresti & Coull 1998, "Approximate Is Better than Exact", for the adjustment; Price &
    Bonett 2004 apply it to linear functions of proportions. Departs from the latter, which splits
    z^2 over the two, which gives up to 10 % here.

    Raises:
        ValueError: If not 0 <= successes <= trials.
    """
    _check_counts(tail_successes, tail_trials)
    _check_counts(head_successes, head_trials)
    if tail_trials == 0 or head_trials == 0:
        return 1.0
    z = float(ndtri(level))
    tail_n, head_n = tail_trials + z * z, head_trials + z * z
    tail = (tail_successes + z * z / 2.0) / tail_n
    head = (head_successes + z * z / 2.0) / head_n
    variance = tail * (1.0 - tail) / tail_n + head * (1.0 - head) / (4.0 * head_n)
    return tail - head / 2.0 + z * math.sqrt(variance)


def binomial_standard_error(p: float, n: int) -> float:
    """Return the standard error of a proportion p over n examples; infinite for n = 0.

    Raises:
        ValueError: If p is not between 0 and 1, or n is negative.
    """
    if not 0.0 <= p <= 1.0 or n < 0:
        raise ValueError(f"p must lie between 0 and 1 and n be at least 0, got p={p}, n={n}")
    return math.sqrt(p * (1.0 - p) / n) if n else math.inf


def _resampled(statistics: Floats, metric: Metric, num_resamples: int, seed: int) -> Floats:
    """Return [S, 1 + R] values of statistics [S, N, K]."""
    return np.stack([resample(each, metric, num_resamples, seed) for each in statistics])


def _exact_share(values: Floats, threshold: float) -> float:
    """Return the share of the 2^n sign patterns whose |sum| is at least `threshold`.

    Each half of the values has few patterns. The sums of one half are sorted, and looked up for
    each of the other: 2^20 patterns are counted in a millisecond.
    """
    if threshold <= 0.0:
        return 1.0
    half = (values.size + 1) // 2
    # Flipping all signs keeps |sum|: with the first sign fixed, half of the patterns stand for all.
    left = _signed_sums(values[1:half], values[:1])
    right = np.sort(_signed_sums(values[half:], np.zeros(1)))
    above = right.size - np.searchsorted(right, threshold - left, side="left")
    below = np.searchsorted(right, -threshold - left, side="right")
    return float((above + below).sum()) / (left.size * right.size)


def _signed_sums(values: Floats, sums: Floats) -> Floats:
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _statistics_array(statistics: ArrayLike) -> Floats:
    array = np.asarray(statistics, dtype=np.float64)
    if array.ndim != 3 or array.shape[0] < 1 or array.shape[1] < 1:
        raise ValueError(f"statistics must be [seeds, examples, K], got shape {array.shape}")
    return array


def finite_vector(values: ArrayLike) -> Floats:
    """Return `values` as float64 [n].

    Raises:
        ValueError: They are not one-dimensional, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"one value a seed is needed, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"values must be finite, got {array.tolist()}")
    return array


def _check_counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"need 0 <= successes <= trials, got {successes} of {trials}")


def _t_quantile(degrees: float, level: float) -> float:
    return float(stdtrit(degrees, (1.0 + level) / 2.0))
