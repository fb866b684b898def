from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.stats import spearmanr

from sftbench.evaluation.curves import area, rank_correlation

VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.25, 1.0, 3.0]), min_size=3, max_size=12)


@settings(deadline=None)
@given(VALUES)
def test_area_is_scipys(values: list[float]) -> None:
    scores = np.array(values)
    assert area(scores) == pytest.approx(trapezoid(scores, np.linspace(0, 1, len(scores))))


def test_an_area_needs_two_scores() -> None:
    with pytest.raises(ValueError, match="an area needs two scores, got 1"):
        area(np.array([0.5]))


@settings(deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_correlation_is_scipys(values: list[float], random: object) -> None:
    first = np.array(values)
    second = np.roll(first, 1) + np.arange(len(first)) % 2
    found = rank_correlation(first, second)
    if len(set(values)) == 1 or len(set(second.tolist())) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic)
