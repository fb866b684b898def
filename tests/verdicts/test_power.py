"""What seeds can detect, against the test itself on simulated differences."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.special import ndtr

from sftbench.verdicts.power import smallest_detectable
from sftbench.verdicts.statistics import sign_flip_p

# One pattern; several; the last that is counted; t tests.
CASES = [(6, 1), (7, 3), (7, 1), (9, 3), (12, 3), (13, 1), (14, 8)]


@pytest.mark.parametrize(("num_seeds", "num_comparisons"), CASES)
def test_the_sign_flip_test_finds_it_in_80_percent(num_seeds: int, num_comparisons: int) -> None:
    level = 0.05 / num_comparisons
    size = smallest_detectable(num_seeds, level)
    assert size is not None
    samples = size + np.random.default_rng(7).standard_normal((1_200, num_seeds))
    found = np.mean([sign_flip_p(sample) < level for sample in samples])
    # Four standard errors of the simulation (0.012 each).
    assert found == pytest.approx(0.8, abs=0.046)


def test_one_pattern_is_solved_exactly() -> None:
    size = smallest_detectable(7, 0.05 / 3)
    assert size == pytest.approx(1.862, abs=0.005)
    assert ndtr(size) ** 7 == pytest.approx(0.8, abs=0.003)


def test_many_seeds_are_the_t_test() -> None:
    # (z(0.975) + z(0.8)) / sqrt(n), the textbook's formula for large n.
    assert smallest_detectable(400, 0.05) == pytest.approx((1.95996 + 0.84162) / 20, rel=0.01)


def test_too_few_seeds_detect_nothing() -> None:
    assert smallest_detectable(5, 0.05) is None
    assert smallest_detectable(7, 0.05 / 4) is None
    assert smallest_detectable(1, 0.9) is None
    assert smallest_detectable(10_000, 1e-9) is None


def test_more_seeds_detect_less_and_more_comparisons_more() -> None:
    sizes = [smallest_detectable(n, 0.05 / 3) for n in range(7, 25)]
    assert all(size is not None for size in sizes)
    assert sizes == sorted(sizes, key=lambda size: -(size or 0.0))
    strict, loose = smallest_detectable(10, 0.01), smallest_detectable(10, 0.05)
    assert strict is not None
    assert loose is not None
    assert strict > loose
    assert smallest_detectable(10, 0.05, power=0.95) > loose


def test_it_is_quick() -> None:
    smallest_detectable(6, 0.05)  # numpy and scipy are loaded
    started = time.process_time()
    smallest_detectable.__wrapped__(12, 0.05 / 3)
    assert time.process_time() - started < 1.5  # 0.3 s on a free core
