"""Many data sets at once: ranks, a critical difference, and the interquartile mean."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from sftbench.verdicts.effects import probability_of_improvement
from sftbench.verdicts.statistics import finite_vector, sign_flip_p

Floats = NDArray[np.float64]
Choice = NDArray[np.unsignedinteger]
LEAST_DATASETS = 5
_TRIMMED = 0.25
_NUM_RESAMPLES = 2000
_DECIMALS = 12  # means that differ by less are equal but for the order of a sum
_LEAST_RANKED = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval; ends are None where a data set has fewer than two seeds."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Mean ranks over data sets, what Friedman's test says of them, and which are tied.

    Attributes:
        mean_ranks: Of each group, 1 is best; equals share a rank, a missing mean has the worst.
        num_datasets: Ranked over.
        chi_square: Friedman's, corrected for ties.
        p: Friedman's.
        critical_difference: Nemenyi's: mean ranks that are closer are tied.
        cliques: Indices of groups that cannot be told apart, from the best to the worst; a group
            may belong to several.
    """

    mean_ranks: tuple[float, ...]
    num_datasets: int
    chi_square: float
    p: float
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]


def rank_groups(gains: ArrayLike, alpha: float = 0.05) -> Ranking:
    """Return the ranking of k groups over N data sets.

    Args:
        gains: float [N, k], one mean a data set and group, larger is better; NaN where a group has
            none: it ranks last there, behind every mean.
        alpha: Level of Friedman's and Nemenyi's tests.

    Source: Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", section
    3.2. Where Friedman's p is not below alpha all groups are one clique, as its order of tests has
    it; chi square is corrected for ties (Demsar's is not).

    Raises:
        ValueError: Fewer than three groups, or no data set.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    values = np.asarray(gains, dtype=np.float64)
    if values.ndim != 2 or len(values) < 1 or values.shape[1] < _LEAST_RANKED:
        raise ValueError(f"needs [data sets, at least 3 groups], got {list(values.shape)}")
    num_datasets, num_groups = values.shape
    lacking_last = np.where(np.isnan(values), -np.inf, np.round(values, _DECIMALS))
    ranks = np.asarray(rankdata(-lacking_last, axis=1), dtype=np.float64)
    chi_square, p = 0.0, 1.0
    if (ranks != ranks[:, :1]).any():
        found = friedmanchisquare(*ranks.T)
        chi_square, p = float(found.statistic), float(found.pvalue)
    quantile = float(studentized_range.ppf(1.0 - alpha, num_groups, np.inf)) / math.sqrt(2.0)
    critical = quantile * math.sqrt(num_groups * (num_groups + 1) / (6.0 * num_datasets))
    means = ranks.mean(axis=0)
    return Ranking(
        mean_ranks=tuple(means.tolist()),
        num_datasets=num_datasets,
        chi_square=chi_square,
        p=p,
        critical_difference=critical,
        cliques=_cliques(means, critical if p < alpha else math.inf),
    )


def signed_rank_p(differences: ArrayLike) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test over data sets, exact to 20 of them.

    Every pattern of signs of the ranks is counted, so that ties need no approximation; zeros are
    ranked and then left out (Pratt). At n data sets p is at least 2 / 2^n.

    Source: Wilcoxon 1945, "Individual Comparisons by Ranking Methods"; Pratt 1959, "Remarks on
    Zeros and Ties in the Wilcoxon Signed Rank Procedures".

    Raises:
        ValueError: A difference is not finite.
    """
    from scipy.stats import rankdata

    values = np.round(finite_vector(differences), _DECIMALS)
    return sign_flip_p(np.sign(values) * rankdata(np.abs(values)))


def interquartile_mean(scores: ArrayLike, axis: int = -1) -> Floats:
    """Return the mean of what is left when a quarter is cut off at each end, along an axis.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", section 4.3: over the runs of all data sets together.
    """
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(np.asarray(scores, dtype=np.float64), _TRIMMED, axis=axis))


def interquartile_interval(
    runs: Sequence[ArrayLike], *, seed: int, level: float = 0.95
) -> Estimate:
    """Return the interquartile mean of one group with its stratified bootstrap interval.

    Args:
        runs: One float array [S] a data set: the values of its seeds.
        seed: Of the resampling; one seed draws the same runs for every group.
        level: Of the interval.

    Runs are drawn with replacement in each data set by itself, so the interval is *on these test
    sets*: seeds alone vary. Departs from Agarwal et al. 2021, whose percentiles cover 85 % with 3
    seeds on each of 5 data sets and 91 % with 7, where 95 % is meant: here it is the standard
    error of the resamples, corrected for their number of runs, times Student's t.
    """
    tables = [_table(np.asarray(one, dtype=np.float64)[None]) for one in runs]
    return _interquartile(tables, seed, level, lambda both: both[..., 0])


def interquartile_difference(
    scores: Sequence[ArrayLike], *, seed: int, level: float = 0.95
) -> Estimate:
    """Return the interquartile mean of the first of two groups minus that of the second.

    Args:
        scores: One float array [2, S] a data set, its S seeds in one order for both groups.
        seed: Of the resampling.
        level: Of the interval.

    Departs from Agarwal et al. 2021: a resample draws the same seeds for both, which are paired.
    """
    tables = [_table(one) for one in scores]
    return _interquartile(tables, seed, level, lambda both: both[..., 0] - both[..., 1])


def mean_improvement(scores: Sequence[ArrayLike], *, seed: int, level: float = 0.95) -> Estimate:
    """Return the probability that the first of two groups is better, mean over data sets.

    Over all pairs of seeds of a data set; larger scores are better. Arguments are those of
    `interquartile_difference`.

    Source: Agarwal et al. 2021, section 4.3, with paired resamples as above.
    """
    tables = [_table(one) for one in scores]
    value = float(np.mean([probability_of_improvement(one[0], one[1]) for one in tables]))
    if any(one.shape[1] < 2 for one in tables):
        return Estimate(value, None, None)
    drawn = np.zeros(_NUM_RESAMPLES)
    sizes = [one.shape[1] for one in tables]
    for one, chosen in zip(tables, _choices(sizes, seed), strict=True):
        gaps = np.round(one[0][:, None] - one[1][None, :], _DECIMALS)
        wins = (np.sign(gaps) + 1.0) / 2.0
        # Entry [b, i, j] is the pair of the i-th seed drawn for one and the j-th for the other.
        drawn += wins[chosen[:, :, None], chosen[:, None, :]].mean(axis=(1, 2))
    found = _estimate(value, drawn / len(tables), tables, level)
    if found.low is None or found.high is None:
        return found
    return Estimate(value, max(0.0, found.low), min(1.0, found.high))


def _cliques(means: Floats, critical: float) -> tuple[tuple[int, ...], ...]:
    """Return the maximal runs of groups, in the order of their ranks, closer than `critical`."""
    order = np.argsort(means, kind="stable")
    found: list[tuple[int, ...]] = []
    reached = 0
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and means[order[last + 1]] - means[order[first]] < critical:
            last += 1
        if last > first and (not found or last > reached):
            found.append(tuple(int(one) for one in order[first : last + 1]))
            reached = last
    return tuple(found)


def _interquartile(
    tables: Sequence[Floats], seed: int, level: float, combine: Callable[[Floats], Floats]
) -> Estimate:
    """Return what `combine` makes of the groups' interquartile means [..., k], and its interval."""
    runs = np.concatenate(tables, axis=1)
    value = float(combine(interquartile_mean(runs)))
    if any(one.shape[1] < 2 for one in tables):
        return Estimate(value, None, None)
    counts = _counts(tuple(one.shape[1] for one in tables), seed)
    drawn = np.stack([_resampled_means(group, counts) for group in runs], axis=-1)
    return _estimate(value, combine(drawn), tables, level)


def _resampled_means(runs: Floats, counts: Choice) -> Floats:
    """Return the interquartile mean of each resample [B], from how often it has each run [N, B].

    The runs are sorted once. In a resample a run takes as many places as it was drawn; those
    between the quarters that are cut off count.
    """
    order = np.argsort(runs, kind="stable")
    ascending = runs[order]
    low = int(_TRIMMED * len(runs))
    most = len(runs) - 2 * low
    reached = np.full(counts.shape[1], -low, dtype=np.int32)
    kept = np.empty_like(reached)
    below = np.zeros(counts.shape[1])
    # By parts: the sum of values times places is the largest value's, less every step up to it.
    for row, step in zip(order[:-1], np.diff(ascending), strict=True):
        reached += counts[row]
        np.minimum(np.maximum(reached, 0, out=kept), most, out=kept)
        below += step * kept
    return np.asarray(ascending[-1] - below / most, dtype=np.float64)


@functools.lru_cache(maxsize=4)
def _counts(sizes: tuple[int, ...], seed: int) -> Choice:
    """Return how often each resample has each run, [all runs, B]: groups of one shape share it."""
    counts = []
    for size, chosen in zip(sizes, _choices(sizes, seed), strict=True):
        places = chosen + size * np.arange(_NUM_RESAMPLES)[:, None]
        counted = np.bincount(places.ravel(), minlength=_NUM_RESAMPLES * size)
        counts.append(counted.reshape(_NUM_RESAMPLES, size).T.astype(np.min_scalar_type(size)))
    return np.concatenate(counts)


def _choices(sizes: Sequence[int], seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the seeds that are drawn, [B, S] for each data set."""
    generator = np.random.Generator(np.random.PCG64(seed))
    for size in sizes:
        yield generator.integers(size, size=(_NUM_RESAMPLES, size))


def _estimate(value: float, drawn: Floats, tables: Sequence[Floats], level: float) -> Estimate:
    """Return an estimate with the small-sample interval of what was drawn.

    A resample of S runs varies by (S - 1) / S too little, and its spread is itself an estimate:
    hence the factor, and Student's t with the degrees of all data sets.
    """
    runs = sum(one.shape[1] for one in tables)
    degrees = runs - len(tables)
    error = float(drawn.std(ddof=1)) * math.sqrt(runs / degrees)
    half = float(stdtrit(degrees, (1.0 + level) / 2.0)) * error
    return Estimate(value, value - half, value + half)


def _table(scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"needs finite scores [groups, seeds], got {list(table.shape)}")
    return table
