"""How large a difference is, beside whether it is one: effect size, probability of improvement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv, gammaln, nctdtrinc

from sftbench.verdicts.statistics import finite_vector, lower_bound, upper_bound

# Two values of a metric that differ by less are equal but for the order of a sum.
TIE = 1e-12
_LEAST_PAIRS = 3
_LARGEST_T = 300.0


@dataclass(frozen=True, slots=True)
class EffectSize:
    """The mean of paired differences in units of their standard deviation over seeds.

    Attributes:
        d_z: Mean over deviation, which is too large in the mean of few pairs.
        hedges_g: The same without that bias.
        low: Lower end of the interval of the true effect, on this test set.
        high: Its upper end.
    """

    d_z: float
    hedges_g: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Improvement:
    """How often one is better than the other at the same seed.

    Attributes:
        wins: Seeds in which the first is better.
        ties: Seeds in which both are equal.
        losses: Seeds in which the second is better.
        probability: (wins + ties / 2) over all.
        low: Lower end of the exact interval of P(better) + P(equal) / 2.
        high: Its upper end.
    """

    wins: int
    ties: int
    losses: int
    probability: float
    low: float
    high: float


def paired_effect_size(differences: ArrayLike, level: float = 0.95) -> EffectSize | None:
    """Return the standardised mean of paired differences [n], or None.

    d_z = mean / sd (n - 1 degrees); g = J d_z with J = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1)
    / 2)), m = n - 1. The interval holds the true effects for which t = sqrt(n) d_z is not in
    either tail of the noncentral t distribution with m degrees: exact for normal differences.
    None for fewer than three pairs, where g is not defined, and where all differences are equal.

    Source: Lakens 2013, "Calculating and reporting effect sizes", equation 6, for d_z; Hedges
    1981, "Distribution Theory for Glass's Estimator of Effect Size", for J; Steiger & Fouladi
    1997, "Noncentrality Interval Estimation", for the interval.

    Raises:
        ValueError: A difference is not finite.
    """
    values = finite_vector(differences)
    if values.size < _LEAST_PAIRS:
        return None
    deviation = float(values.std(ddof=1))
    if deviation <= TIE * max(1.0, float(np.abs(values).max())):
        return None
    degrees = values.size - 1
    effect = float(values.mean()) / deviation
    root = math.sqrt(values.size)
    correction = math.exp(gammaln(degrees / 2.0) - gammaln((degrees - 1) / 2.0))
    tails = (1.0 + level) / 2.0, (1.0 - level) / 2.0
    low, high = (_noncentrality(degrees, tail, root * effect) / root for tail in tails)
    return EffectSize(effect, effect * correction / math.sqrt(degrees / 2.0), low, high)


def _noncentrality(degrees: int, tail: float, t: float) -> float:
    """Return the noncentrality with which P(T <= t) is `tail`."""
    if abs(t) <= _LARGEST_T:
        return float(nctdtrinc(degrees, tail, t))
    # Beside such a mean the normal part of T is nothing: what is left is chi. (scipy's search does
    # not end from a few millions on.)
    upper = tail if t > 0 else 1.0 - tail
    return t * math.sqrt(2.0 * float(gammaincinv(degrees / 2.0, 1.0 - upper)) / degrees)


def paired_improvement(gains: ArrayLike, level: float = 0.95) -> Improvement | None:
    """Return how often paired gains [n] are positive, with an exact interval; None for n = 0.

    The interval is Clopper and Pearson's, a tie counted as a loss for its lower and as a win for
    its upper end: its coverage is never below `level`, whatever share of pairs is tied. A
    bootstrap would give [1, 1] where the first wins in each of a few seeds.

    Raises:
        ValueError: A gain is not finite.
    """
    values = finite_vector(gains)
    if values.size == 0:
        return None
    wins, losses = int(np.sum(values > TIE)), int(np.sum(values < -TIE))
    ties = values.size - wins - losses
    one_sided = (1.0 + level) / 2.0
    return Improvement(
        wins=wins,
        ties=ties,
        losses=losses,
        probability=(wins + ties / 2.0) / values.size,
        low=lower_bound(wins, values.size, one_sided),
        high=upper_bound(wins + ties, values.size, one_sided),
    )


def probability_of_improvement(better: ArrayLike, worse: ArrayLike) -> float:
    """Return P(X > Y) + P(X = Y) / 2 over all pairs of values [n] and [m], paired or not.

    This is the Mann-Whitney statistic over n m.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", section 4.3.

    Raises:
        ValueError: There is no value on a side, or one is not finite.
    """
    x, y = finite_vector(better), finite_vector(worse)
    if not x.size or not y.size:
        raise ValueError("each side needs a value")
    gaps = x[:, None] - y[None, :]
    return float(np.mean(np.where(np.abs(gaps) <= TIE, 0.5, gaps > 0.0)))
