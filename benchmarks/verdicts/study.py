"""What the study simulates, and the rates that it counts."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from benchmarks.verdicts.regimes import REGIMES, BetaBinomial, Hits, Latent
from benchmarks.verdicts.stored import SameGroup, TwoGroups
from benchmarks.verdicts.trials import Trials
from sftbench.verdicts.comparisons import Comparison
from sftbench.verdicts.criteria import Criteria

Regime = Latent | BetaBinomial | SameGroup | TwoGroups

SEEDS = (6, 7, 9, 12, 20)
_SEEDS_STORED = (6, 9, 20)
GAINS = (0.01, 0.02, 0.05)
_FAMILY = 4  # methods: three comparisons with a baseline, which need seven seeds
_POWER = ("seeds, answers", "shared", "shared, most")
_AT_ONCE = 250  # trials
_WHOLE = 10  # trials of a setting that also take the whole path


@dataclass(frozen=True, eq=False)
class Setting:
    """One row of figures: a regime, how much better each method is than the first, and seeds.

    `kind` is `same` (A/A), `family` (A/A of several methods), `gain` (A/B of a regime), or
    `stored` (A/B of stored predictions).
    """

    kind: str
    regime: Regime
    gains: tuple[float, ...]
    num_seeds: int

    @property
    def key(self) -> str:
        """What tells it apart: random numbers follow from it, not from the order of settings."""
        return f"{self.kind} {self.regime.name} {self.regime.says} {self.gains} {self.num_seeds}"


@dataclass(frozen=True)
class Rates:
    """Shares of the trials of a setting; of the first comparison, unless it says otherwise.

    Attributes:
        success: Verdicts `success`.
        failure: Verdicts `failure`.
        any_decided: Trials in which any comparison of the family came to success or failure.
        sign_flip: Trials in which the sign-flip test alone would have, at the level alpha.
        any_sign_flip: Likewise for any comparison, adjusted by Holm.
        any_unadjusted: Trials in which any comparison would have been decided, were the interval
            not adjusted.
        covered: Trials whose population interval holds the truth.
        half_width: Of that interval, mean.
        kinds: How many verdicts of each kind, over all comparisons.
    """

    trials: int
    truth: float
    success: float
    failure: float
    any_decided: float
    sign_flip: float
    any_sign_flip: float
    any_unadjusted: float
    covered: float
    half_width: float
    kinds: dict[str, int]

    @property
    def decided(self) -> float:
        """Share of trials with success or failure."""
        return self.success + self.failure


def settings(stored: Sequence[SameGroup | TwoGroups]) -> Iterator[Setting]:
    """Yield every setting of the study.

    Args:
        stored: Regimes of stored predictions.
    """
    for regime in REGIMES:
        yield from (Setting("same", regime, (0.0, 0.0), count) for count in SEEDS)
        yield Setting("family", regime, (0.0,) * _FAMILY, 7)
        if regime.name in _POWER:
            for gain in GAINS:
                yield from (Setting("gain", regime, (0.0, gain), count) for count in SEEDS)
    for one in stored:
        if isinstance(one, SameGroup):
            yield from (Setting("same", one, (0.0, 0.0), count) for count in _SEEDS_STORED)
        else:
            yield Setting("stored", one, (0.0, 0.0), 7)


def simulate(setting: Setting, num_trials: int, criteria: Criteria | None = None) -> Rates:
    """Return the rates of a setting over so many trials; the same call gives the same rates.

    Raises:
        RuntimeError: Of the first trials, one is judged otherwise on the whole path.
    """
    criteria = criteria or Criteria()
    digest = hashlib.sha256(setting.key.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    trials = Trials.of(len(setting.gains), setting.num_seeds, criteria)
    counts = _Counts(setting.regime.truth(setting.gains), criteria)
    for start in range(0, num_trials, _AT_ONCE):
        size = min(_AT_ONCE, num_trials - start)
        hits = setting.regime.draw(setting.gains, setting.num_seeds, size, rng)
        for compared in trials.compare(hits):
            counts.add(compared)
        if start == 0:
            _check(trials, hits[:_WHOLE], criteria)
    return counts.rates()


def kind_of(compared: Comparison, criteria: Criteria) -> str:
    """Return what a comparison comes to where no hard reason holds."""
    # The margin is a share of the metric's range, which is 1 wide.
    direction = compared.direction(criteria.margin, criteria.alpha)
    return {1: "success", -1: "failure", 0: "inconclusive"}[direction]


def _check(trials: Trials, hits: Hits, criteria: Criteria) -> None:
    """Judge trials on the whole path too."""
    for judged, compared in zip(trials.judge(hits), trials.compare(hits), strict=True):
        whole = [one.verdict.kind for one in judged[1:]]
        if whole != [kind_of(one, criteria) for one in compared]:
            raise RuntimeError(f"{whole} on the whole path, and not so by the study's: {compared}")


class _Counts:
    """What is counted over trials."""

    def __init__(self, truth: float, criteria: Criteria) -> None:
        self._truth, self._criteria = truth, criteria
        self._counts: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._half_width = 0.0

    def add(self, compared: Sequence[Comparison]) -> None:
        """Count one trial."""
        kinds = [kind_of(one, self._criteria) for one in compared]
        adjusted = [one.p_adjusted for one in compared if one.p_adjusted is not None]
        comparison, alpha = compared[0], self._criteria.alpha
        if comparison.interval is None or comparison.p is None:
            raise RuntimeError("a trial has no interval: the study does not fit the verdicts")
        self._kinds.update(kinds)
        self._counts.update(["trials", kinds[0]])
        self._counts["any_decided"] += any(kind != "inconclusive" for kind in kinds)
        self._counts["any_sign_flip"] += min(adjusted) < alpha
        plain = [kind_of(replace(one, p_population=None), self._criteria) for one in compared]
        self._counts["any_unadjusted"] += any(kind != "inconclusive" for kind in plain)
        self._counts["sign_flip"] += comparison.p < alpha
        interval = comparison.interval
        self._counts["covered"] += interval.low - 1e-12 <= self._truth <= interval.high + 1e-12
        self._half_width += (interval.high - interval.low) / 2.0

    def rates(self) -> Rates:
        """Return the shares."""
        total = self._counts["trials"]
        others: dict[str, Any] = {
            "trials": total,
            "truth": self._truth,
            "half_width": self._half_width / total,
            "kinds": dict(sorted(self._kinds.items())),
        }
        names = (field.name for field in fields(Rates) if field.name not in others)
        return Rates(**others, **{name: self._counts[name] / total for name in names})


def noise(rate: float, trials: int) -> float:
    """Return the standard error of a rate over trials."""
    return math.sqrt(rate * (1.0 - rate) / trials)
