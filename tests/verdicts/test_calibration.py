"""The verdict's statistics on simulated benchmarks whose truth is known.

A latent score a cell, probit(accuracy) + seed + example + (method x example) + rest, has variance
1 and is a hit above 0. So the expected hit rate is the stated accuracy exactly, over seeds and
over examples. Each trial draws a test set, 7 seeds and both methods anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import ndtri

from sftbench.verdicts.statistics import population_interval, sign_flip_p

TRIALS, SEEDS, EXAMPLES, RESAMPLES = 1000, 7, 300, 200
MARGIN = 0.01


@dataclass(frozen=True)
class Regime:
    """Shares of the latent variance. What is left belongs to the example, for both methods."""

    interaction: float  # of seed, example and method: training noise on single examples
    method_example: float  # methods differ on the shared test images, in the same way every seed
    seed_sd: float = 0.02  # in accuracy


REGIMES = {
    "no shared noise": Regime(interaction=0.99, method_example=0.0),
    "shared examples": Regime(interaction=0.3, method_example=0.0),
    "methods differ on shared examples": Regime(interaction=0.3, method_example=0.3),
    "no interaction": Regime(interaction=0.0, method_example=0.5),
    "examples dominate": Regime(interaction=0.1, method_example=0.5, seed_sd=0.005),
    "interaction alone": Regime(interaction=1.0, method_example=0.0, seed_sd=0.0),
}


def draw(
    regime: Regime, accuracies: tuple[float, float], generator: np.random.Generator
) -> list[np.ndarray]:
    """Hits [S, N, 1] of two methods."""
    # Slope of accuracy over the latent mean turns the seeds' sd into latent units.
    slope = math.exp(-(float(ndtri(accuracies[0])) ** 2) / 2) / math.sqrt(2 * math.pi)
    seed_sd = regime.seed_sd / slope
    left = 1.0 - regime.interaction - regime.method_example - seed_sd**2
    example = generator.normal(size=EXAMPLES) * math.sqrt(max(left, 0.0))
    hits = []
    for accuracy in accuracies:
        latent = (
            ndtri(accuracy)
            + example
            + generator.normal(size=EXAMPLES) * math.sqrt(regime.method_example)
            + generator.normal(size=(SEEDS, 1)) * seed_sd
            + generator.normal(size=(SEEDS, EXAMPLES)) * math.sqrt(regime.interaction)
        )
        hits.append((latent > 0).astype(np.float64)[..., None])
    return hits


@dataclass(frozen=True)
class Rates:
    """Shares of the trials."""

    sign_flip: float
    verdict: float
    covered: float


def simulate(regime: Regime, accuracies: tuple[float, float], seed: int) -> Rates:
    generator = np.random.default_rng(seed)
    truth = accuracies[0] - accuracies[1]
    significant, decided, covered = 0, 0, 0
    for trial in range(TRIALS):
        a, b = draw(regime, accuracies, generator)
        interval = population_interval(
            a, b, lambda x: x[..., 0] / EXAMPLES, seed=trial, num_resamples=RESAMPLES
        )
        assert interval is not None
        # Over one comparison Holm's adjusted p is p itself, the family with the most false alarms.
        rejected = sign_flip_p((a - b).mean(axis=(1, 2))) < 0.05
        significant += rejected
        decided += rejected and interval.excludes_zero and abs(interval.estimate) >= MARGIN
        covered += interval.low <= truth <= interval.high
    return Rates(significant / TRIALS, decided / TRIALS, covered / TRIALS)


def slack(rate: float) -> float:
    """Three standard errors of a rate over the trials: 2.1 points for a rate of 5 %."""
    return 3 * math.sqrt(rate * (1 - rate) / TRIALS)


@pytest.mark.parametrize("name", REGIMES)
def test_ties_are_seldom_decided_and_intervals_cover(name: str) -> None:
    rates = simulate(REGIMES[name], (0.8, 0.8), seed=1)
    assert rates.verdict <= 0.05 + slack(0.05), rates
    assert 0.93 - slack(0.05) / 2 <= rates.covered <= 0.97 + slack(0.05) / 2, rates


def test_sign_flip_alone_is_fooled_by_shared_images() -> None:
    # Why a verdict needs the population interval too.
    rates = simulate(REGIMES["examples dominate"], (0.8, 0.8), seed=2)
    assert rates.sign_flip > 0.3, rates
    assert rates.verdict <= 0.05 + slack(0.05), rates


@pytest.mark.parametrize("name", ["shared examples", "methods differ on shared examples"])
def test_a_real_difference_is_covered_and_often_decided(name: str) -> None:
    rates = simulate(REGIMES[name], (0.85, 0.75), seed=3)
    assert 0.91 <= rates.covered <= 0.99, rates
    assert rates.verdict > 0.75, rates
