"""Effect sizes against published numbers, scipy's distributions, and enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr
from statsmodels.stats.proportion import proportion_confint

from sftbench.verdicts.effects import (
    paired_effect_size,
    paired_improvement,
    probability_of_improvement,
)


def with_effect(n: int, effect: float) -> np.ndarray:
    """Differences whose mean is `effect` times their deviation."""
    values = np.random.default_rng(n).normal(size=n)
    return (values - values.mean()) / values.std(ddof=1) + effect


def test_the_interval_is_that_of_mbess() -> None:
    # conf.limits.nct(ncp = 2.83, df = 126) in the manual of R's MBESS: 0.8337502 and 4.815359.
    found = paired_effect_size(with_effect(127, 2.83 / math.sqrt(127)))
    assert found is not None
    assert found.low * math.sqrt(127) == pytest.approx(0.8337502, abs=1e-6)
    assert found.high * math.sqrt(127) == pytest.approx(4.815359, abs=1e-6)


@pytest.mark.parametrize(("n", "effect"), [(3, 0.2), (7, -1.5), (7, 5.0), (25, 0.0)])
def test_the_interval_inverts_the_noncentral_t(n: int, effect: float) -> None:
    found = paired_effect_size(with_effect(n, effect), level=0.9)
    assert found is not None
    assert found.d_z == pytest.approx(effect)
    # P(T <= t), T = (Z + nc) / sqrt(U / m), by integrating over U.
    t, m = effect * math.sqrt(n), n - 1
    u = np.linspace(1e-9, stats.chi2.isf(1e-12, m), 20_001)

    def below(end: float) -> float:
        inner = ndtr(t * np.sqrt(u / m) - end * math.sqrt(n)) * stats.chi2.pdf(u, m)
        return float(np.trapezoid(inner, u))

    assert below(found.low) == pytest.approx(0.95, abs=1e-4)
    assert below(found.high) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_effects_beyond_measure_have_intervals_too(sign: int) -> None:
    # scipy's search would not end at the second; both sides of the border agree.
    near, far = (paired_effect_size(sign * with_effect(7, size)) for size in (110.0, 1e9))
    assert near is not None
    assert far is not None
    assert (far.low / far.d_z, far.high / far.d_z) == pytest.approx(
        (near.low / near.d_z, near.high / near.d_z), rel=5e-4
    )
    assert far.low < far.d_z < far.high


@pytest.mark.parametrize("n", [3, 7, 30])
def test_g_has_no_bias(n: int) -> None:
    # The mean of t under noncentrality nc, by scipy; g is d_z times a number of n alone.
    found = paired_effect_size(with_effect(n, 1.0))
    assert found is not None
    nc = 0.8 * math.sqrt(n)
    expected = stats.nct.mean(n - 1, nc) / math.sqrt(n) * found.hedges_g / found.d_z
    assert expected == pytest.approx(0.8, rel=1e-9)


def test_what_has_no_effect_size() -> None:
    assert paired_effect_size([0.1, 0.2]) is None
    assert paired_effect_size([0.0] * 7) is None
    assert paired_effect_size([0.3, 0.1 + 0.2, 0.3]) is None  # equal but for rounding
    assert paired_effect_size([]) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=9), st.floats(0.01, 100))
def test_the_effect_has_no_unit_and_turns_with_the_sign(values: list[float], unit: float) -> None:
    found = paired_effect_size(values)
    turned = paired_effect_size([-unit * value for value in values])
    # A unit may move differences across the border of what counts as equal; those are left out.
    if found is None or turned is None or np.std(values) < 1e-6:
        return
    assert turned.hedges_g == pytest.approx(-found.hedges_g, rel=1e-6, abs=1e-9)
    assert turned.low == pytest.approx(-found.high, rel=1e-4, abs=1e-5)
    assert found.low <= found.d_z <= found.high


def test_improvement_by_hand() -> None:
    found = paired_improvement([0.1, 0.2, 0.0, -0.1, 1e-13, 0.3, 0.1])
    assert found is not None
    assert (found.wins, found.ties, found.losses) == (4, 2, 1)
    assert found.probability == pytest.approx(5 / 7)
    assert found.low == pytest.approx(proportion_confint(4, 7, method="beta")[0])
    assert found.high == pytest.approx(proportion_confint(6, 7, method="beta")[1])
    assert paired_improvement([]) is None


def test_seven_wins_of_seven_are_no_certainty() -> None:
    found = paired_improvement([0.1] * 7)
    assert found is not None
    assert (found.probability, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 7))


@pytest.mark.parametrize("n", [3, 7])
def test_the_interval_covers_whatever_the_share_of_ties(n: int) -> None:
    intervals = {
        (wins, ties): paired_improvement([1.0] * wins + [0.0] * ties + [-1.0] * (n - wins - ties))
        for wins in range(n + 1)
        for ties in range(n + 1 - wins)
    }
    for tie in np.linspace(0.0, 0.9, 4):
        for win in np.linspace(0.0, 1.0 - tie, 11):
            shares = [win, tie, max(0.0, 1.0 - win - tie)]
            truth = win + tie / 2
            coverage = sum(
                stats.multinomial.pmf([wins, ties, n - wins - ties], n, shares)
                for (wins, ties), one in intervals.items()
                if one is not None and one.low - 1e-12 <= truth <= one.high + 1e-12
            )
            assert coverage >= 0.95 - 1e-9


def test_the_probability_of_improvement_is_mann_whitneys_statistic() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, 9) / 10, generator.integers(0, 6, 5) / 10
    statistic = stats.mannwhitneyu(x, y).statistic
    assert probability_of_improvement(x, y) == pytest.approx(statistic / 45)
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1)
    assert probability_of_improvement([0.1 + 0.2], [0.3]) == 0.5
    with pytest.raises(ValueError, match="each side needs a value"):
        probability_of_improvement([], [0.1])
