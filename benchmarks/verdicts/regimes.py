"""Simulated benchmarks whose truth is known: hits of methods x seeds x test examples.

A regime says what varies: seeds, test examples that all methods find hard, test examples on which
methods differ whatever the seed (noise of the shared test set), and single answers of single seeds.
Each trial draws a test set, and every method's seeds, anew. So the truth of a comparison is that of
the population: of other seeds, and of other examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Hits = NDArray[np.bool_]


@dataclass(frozen=True)
class Latent:
    """A hit is a score above 0: probit(accuracy) + seed + example + method x example + answer.

    The parts are Gaussian and have variance 1 in all, so the expected hit rate is the stated
    accuracy exactly, over seeds and over examples.

    Attributes:
        name: For tables.
        says: What varies, in words.
        seed_sd: Of accuracy over seeds.
        interaction: Share of single answers: seed x example, apart for each method.
        method_example: Share of examples on which methods differ, the same for every seed: noise
            of the shared test set. What is left belongs to the example, for all methods alike.
        accuracy: Of the first method.
        num_examples: Of the test set.
    """

    name: str
    says: str
    seed_sd: float
    interaction: float
    method_example: float
    accuracy: float = 0.8
    num_examples: int = 300

    def truth(self, gains: Sequence[float]) -> float:
        """Return the expected difference of the second method and the first."""
        return gains[1] - gains[0]

    def draw(
        self, gains: Sequence[float], num_seeds: int, num_trials: int, rng: np.random.Generator
    ) -> Hits:
        """Return hits [trials, methods, seeds, examples]; method m is `gains[m]` better."""
        # Slope of accuracy over the latent mean turns the seeds' SD into latent units.
        slope = math.exp(-(float(ndtri(self.accuracy)) ** 2) / 2) / math.sqrt(2 * math.pi)
        seed_sd = self.seed_sd / slope
        example = 1.0 - self.interaction - self.method_example - seed_sd**2
        if example < -1e-9:
            raise ValueError(f"{self.name}: its shares are more than 1")
        shape = (num_trials, len(gains), num_seeds, self.num_examples)
        latent = np.empty(shape, dtype=np.float32)
        latent[...] = np.array(ndtri(self.accuracy + np.asarray(gains)))[:, None, None]
        for share, axes in (
            (example, (0, 3)),
            (self.method_example, (0, 1, 3)),
            (seed_sd**2, (0, 1, 2)),
            (self.interaction, (0, 1, 2, 3)),
        ):
            if share > 0:
                size = [length if axis in axes else 1 for axis, length in enumerate(shape)]
                latent += rng.standard_normal(size, dtype=np.float32) * np.float32(share**0.5)
        return latent > 0


@dataclass(frozen=True)
class BetaBinomial:
    """An example is answered rightly with a probability of its own, drawn from a beta distribution.

    Where `concentration` is small most examples are surely right or surely wrong. Seeds answer each
    example independently. With `shared` all methods have one probability for an example; else each
    method has its own, and so its own noise of the shared test set. Probabilities are mixed with
    right and wrong answers to move a method's accuracy: with `gain` g, a share of the wrong answers
    turns right.
    """

    name: str
    says: str
    concentration: float
    shared: bool
    accuracy: float = 0.8
    num_examples: int = 300

    def truth(self, gains: Sequence[float]) -> float:
        """Return the expected difference of the second method and the first."""
        return gains[1] - gains[0]

    def draw(
        self, gains: Sequence[float], num_seeds: int, num_trials: int, rng: np.random.Generator
    ) -> Hits:
        """Return hits [trials, methods, seeds, examples]; method m is `gains[m]` better."""
        own = 1 if self.shared else len(gains)
        a, b = self.accuracy * self.concentration, (1.0 - self.accuracy) * self.concentration
        right = rng.beta(a, b, size=(num_trials, own, 1, self.num_examples))
        turned = np.asarray(gains)[:, None, None] / (1.0 - self.accuracy)
        wanted = right + (1.0 - right) * turned
        shape = (num_trials, len(gains), num_seeds, self.num_examples)
        return rng.random(shape, dtype=np.float32) < wanted


Regime = Latent | BetaBinomial

REGIMES: tuple[Regime, ...] = (
    Latent("seeds", "seeds alone differ; examples are hard or easy for all", 0.02, 0.0, 0.0),
    Latent("seeds, wide", "the same, seeds five times as far apart", 0.10, 0.0, 0.0),
    Latent("seeds, answers", "seeds, and single answers of single seeds", 0.02, 0.6, 0.0),
    Latent("answers", "single answers of single seeds alone", 0.0, 1.0, 0.0),
    Latent("shared", "methods differ on shared examples; seeds, answers", 0.02, 0.3, 0.3),
    Latent("shared, firm", "the same, and every seed answers alike", 0.02, 0.0, 0.5),
    Latent("shared, most", "shared examples are nearly all that varies", 0.005, 0.1, 0.5),
    Latent("ceiling", "accuracy 0.97: seeds, answers, shared examples", 0.005, 0.3, 0.3, 0.97),
    Latent("few examples", "100 test examples", 0.02, 0.3, 0.3, 0.8, 100),
    BetaBinomial("beta", "beta-binomial, one difficulty for all methods", 1.0, shared=True),
    BetaBinomial("beta, shared", "beta-binomial, methods differ", 1.0, shared=False),
)
