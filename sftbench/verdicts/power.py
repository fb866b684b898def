"""What a number of seeds can detect: the power of the paired sign-flip test, before it is run."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import nctdtrinc, ndtr, stdtrit

from sftbench.verdicts.statistics import smallest_sign_flip_p

POWER = 0.8
# Up to here every pattern of signs is counted; beyond, the t test is as good to 2 % (a test).
_COUNTED_SEEDS = 12
_NUM_SUMS = 2**22  # sums of signed samples that are held: 16 MiB
_MOST_SAMPLES = 4_000
_HALVINGS = 10
_LARGEST = 4.0


@lru_cache(maxsize=64)
def smallest_detectable(num_seeds: int, level: float, power: float = POWER) -> float | None:
    """Return the smallest true mean of paired differences that the sign-flip test detects.

    In units of the differences' standard deviation over seeds, for normal differences: with that
    mean, p falls below `level` with probability `power`. None where p cannot fall below `level`.

    With k the number of sign patterns that p may count (p = k / 2^(n-1) < `level`): for k = 1 every
    difference must have one sign, so d solves Phi(d)^n + Phi(-d)^n = power. Else, up to 12 seeds,
    2,000 to 4,000 samples (fixed seed) are tested with every pattern; beyond, it is the t test at
    level k / 2^(n-1), by the noncentral t distribution. Found to 2 %.

    Args:
        num_seeds: Pairs, n.
        level: That p must fall below: alpha over the number of comparisons for Holm's first step,
            which is the hardest.
        power: Wanted probability, above `level`.
    """
    if not smallest_sign_flip_p(num_seeds) < level:
        return None
    if num_seeds > _COUNTED_SEEDS:
        # The largest p that can be had below the level; beyond 2^60 patterns that is the level.
        patterns = 2.0 ** min(num_seeds - 1, 60)
        attained = max(1.0, math.ceil(level * patterns) - 1) / patterns
        critical = float(stdtrit(num_seeds - 1, 1.0 - attained / 2.0))
        return float(nctdtrinc(num_seeds - 1, 1.0 - power, critical)) / math.sqrt(num_seeds)
    rejects = _Counted(num_seeds, level)
    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if rejects.power(middle) >= power else (middle, high)
    return high


class _Counted:
    """The test's power over normal samples of unit deviation, every pattern counted."""

    def __init__(self, num_seeds: int, level: float) -> None:
        self._num_seeds = num_seeds
        half = 2 ** (num_seeds - 1)
        self._most = math.ceil(level * half) - 1  # patterns as extreme as the sample's own
        if self._most > 1:
            bits = np.arange(half)[:, None] >> np.arange(num_seeds - 1) & 1
            signs = np.hstack([np.ones((half, 1)), 1.0 - 2.0 * bits]).astype(np.float32)
            generator = np.random.Generator(np.random.PCG64(0))
            shape = (num_seeds, min(_MOST_SAMPLES, _NUM_SUMS // half))
            self._sums = signs @ generator.standard_normal(shape, dtype=np.float32)
            self._shifts = signs.sum(axis=1, keepdims=True)

    def power(self, mean: float) -> float:
        """Return the share of samples with this mean that are rejected."""
        if self._most <= 1:
            return float(ndtr(mean) ** self._num_seeds + ndtr(-mean) ** self._num_seeds)
        sums = np.abs(self._sums + np.float32(mean) * self._shifts)
        # The first pattern is the sample as it is; equal sums do not occur in noise.
        return float(np.mean(np.sum(sums >= sums[0], axis=0) <= self._most))
