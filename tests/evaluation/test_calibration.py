from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from sftbench.evaluation.calibration import (
    equal_mass_bins,
    equal_width_bins,
    expected_calibration_error,
    expected_calibration_error_equal_mass,
    reliability_diagram,
)

Data = tuple[NDArray[Any], NDArray[np.int64]]


@st.composite
def data(draw: st.DrawFn) -> Data:
    """Coarse logits: confidences of exactly 1 / C are common, as are ties."""
    count, classes = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    grid = st.sampled_from([-800.0, -2.0, -0.5, 0.0, 0.0, 0.5, 3.0])
    logits = draw(hnp.arrays(np.float64, (count, classes), elements=grid))
    return logits, draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))


def pairs(logits: NDArray[Any], targets: NDArray[np.int64]) -> list[tuple[float, int]]:
    """Confidence and hit of each example, in plain Python."""
    found = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        best = row.index(max(row))
        found.append((1 / sum(math.exp(each - row[best]) for each in row), int(best == target)))
    return found


def gap_of(bins: list[list[tuple[float, int]]]) -> float:
    total = sum(len(members) for members in bins)
    error = 0.0
    for members in bins:
        if members:
            confidence = sum(pair[0] for pair in members) / len(members)
            hits = sum(pair[1] for pair in members) / len(members)
            error += len(members) / total * abs(hits - confidence)
    return error


def brute_force(examples: list[tuple[float, int]], bins: int) -> float:
    cut: list[list[tuple[float, int]]] = [[] for _ in range(bins)]
    for confidence, hit in examples:
        for number in range(bins):
            low, high = number / bins, (number + 1) / bins
            if low < confidence <= high or (number == 0 and confidence == 0):
                cut[number].append((confidence, hit))
    assert sum(map(len, cut)) == len(examples)
    return gap_of(cut)


def brute_force_equal_mass(examples: list[tuple[float, int]], bins: int) -> float:
    ranked = sorted(examples, key=lambda pair: pair[0])  # sorted() is stable
    cut, start = [], 0
    for number in range(bins):
        size = len(ranked) // bins + (number < len(ranked) % bins)
        cut.append(ranked[start : start + size])
        start += size
    return gap_of(cut)


@given(data(), st.integers(1, 20))
def test_equal_width_is_the_brute_force(both: Data, bins: int) -> None:
    examples = pairs(*both)
    # math.exp and numpy.exp may differ in the last bit, on either side of a border; 1 / C cannot.
    assume(
        all(
            abs(conf * bins - round(conf * bins)) > 1e-9 or 1 / conf == round(1 / conf)
            for conf, _ in examples
        )
    )
    assert expected_calibration_error(*both, bins) == pytest.approx(
        brute_force(examples, bins), abs=1e-12
    )


@given(hnp.arrays(np.float64, 12, elements=st.integers(0, 60).map(lambda n: n / 60)))
def test_borders_are_those_of_the_brute_force(confidence: NDArray[np.float64]) -> None:
    for bins in (1, 2, 3, 10, 15, 20):
        for value, found in zip(confidence, equal_width_bins(confidence, bins), strict=True):
            inside = [i for i in range(bins) if i / bins < value <= (i + 1) / bins]
            assert found == (inside[0] if inside else 0)


def test_a_border_belongs_to_the_bin_below() -> None:
    confidence = np.array([0.0, 0.2, 0.6, 0.6000001, 0.8, 1.0])
    assert equal_width_bins(confidence, 15).tolist() == [0, 2, 8, 9, 11, 14]
    for bins in range(2, 101):
        borders = np.array([(i + 1) / bins for i in range(bins)])
        assert equal_width_bins(borders, bins).tolist() == list(range(bins))
        above = np.nextafter(borders[:-1], 2)
        assert equal_width_bins(above, bins).tolist() == list(range(1, bins))


def test_border_of_a_bin_from_logits() -> None:
    # 0.2 = 3 / 15 exactly (bin 2), and 0.25 (bin 3). Bins [a, b) would pool the two: 0.275.
    logits = np.array([[0.0] * 5, [math.log(4 / 3), 0, 0, 0, 0]])
    assert expected_calibration_error(logits, np.array([0, 1])) == pytest.approx(
        (0.8 + 0.25) / 2, rel=1e-12
    )


def test_confidence_one_shares_the_last_bin() -> None:
    # 1.0 and 0.95 pool: |1 / 2 - 0.975|. A bin of its own for 1.0 would give (1 + 0.05) / 2.
    logits = np.array([[1000.0, 0.0], [math.log(19), 0.0]])
    found = expected_calibration_error(logits, np.array([1, 0]))
    assert found == pytest.approx(0.475, rel=1e-12)


def test_extremes() -> None:
    sure = np.array([[1000.0, 0.0]] * 3)
    assert expected_calibration_error(sure, np.array([0, 0, 0])) == 0.0
    assert expected_calibration_error(sure, np.array([1, 1, 1])) == 1.0
    assert expected_calibration_error_equal_mass(sure, np.array([1, 1, 1])) == 1.0
    coin = np.zeros((4, 2))
    assert expected_calibration_error(coin, np.array([0, 0, 1, 1])) == 0.0


@given(data(), st.integers(1, 40))
def test_equal_mass_is_the_brute_force(both: Data, bins: int) -> None:
    examples = pairs(*both)
    distinct = sorted({confidence for confidence, _ in examples})
    # Two that differ in the last bit may tie, or change places, under numpy.exp.
    assume(all(high - low > 1e-12 for low, high in pairwise(distinct)))
    assert expected_calibration_error_equal_mass(*both, bins) == pytest.approx(
        brute_force_equal_mass(examples, bins), abs=1e-12
    )


def test_equal_mass_bins_are_cut_by_rank_and_stable() -> None:
    confidence = np.array([0.9, 0.5, 0.7, 0.5, 0.6, 0.5, 0.8])
    # ascending: 1 3 5 4 2 6 0, cut 3 + 2 + 2
    assert equal_mass_bins(confidence, 3).tolist() == [2, 0, 1, 0, 1, 0, 2]
    assert equal_mass_bins(np.full(5, 0.5), 2).tolist() == [0, 0, 0, 1, 1]
    # Large enough that a sort that is not stable would show.
    many = np.tile([0.9, 0.5], 500)
    expected = np.empty(1000, dtype=np.int64)
    expected[1::2], expected[::2] = np.repeat([0, 1], 250), np.repeat([2, 3], 250)
    np.testing.assert_array_equal(equal_mass_bins(many, 4), expected)
    assert equal_mass_bins(np.array([0.3, 0.2]), 15).tolist() == [1, 0]


@given(data(), st.integers(1, 20), st.randoms(use_true_random=False))
def test_range_and_order(both: Data, bins: int, rng: random.Random) -> None:
    logits, targets = both
    order = list(range(len(targets)))
    rng.shuffle(order)
    error = expected_calibration_error(logits, targets, bins)
    assert 0 <= error <= 1
    assert expected_calibration_error(logits[order], targets[order], bins) == pytest.approx(
        error, abs=1e-12
    )
    assert 0 <= expected_calibration_error_equal_mass(logits, targets, bins) <= 1


def test_equal_mass_ignores_the_order_of_distinct_confidences() -> None:
    rng = np.random.default_rng(0)
    logits, targets, order = (
        rng.normal(size=(100, 4)),
        rng.integers(0, 4, 100),
        rng.permutation(100),
    )
    assert expected_calibration_error_equal_mass(logits[order], targets[order]) == pytest.approx(
        expected_calibration_error_equal_mass(logits, targets), abs=1e-12
    )


def test_fifteen_bins_unless_told() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 4, 200)
    both = rng.normal(size=(200, 4)) + 1.2 * np.eye(4)[targets], targets
    for function in (expected_calibration_error, expected_calibration_error_equal_mass):
        assert function(*both) == function(*both, 15) != function(*both, 14)


@pytest.mark.parametrize(
    "function", [expected_calibration_error, expected_calibration_error_equal_mass]
)
def test_invalid_input_is_refused(function: Any) -> None:
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        function(np.zeros((1, 2)), np.array([0]), 0)
    with pytest.raises(ValueError, match="logits must be finite"):
        function(np.array([[np.nan, 0.0]]), np.array([0]))
    with pytest.raises(ValueError, match="targets must lie in"):
        function(np.zeros((1, 2)), np.array([2]))


@pytest.mark.parametrize("function", [equal_width_bins, equal_mass_bins])
@pytest.mark.parametrize(
    ("confidence", "message"),
    [
        ([1.1], r"confidence must lie in \[0, 1\]"),
        ([-0.1], r"confidence must lie in \[0, 1\]"),
        ([math.nan], r"confidence must lie in \[0, 1\]"),
        ([], r"confidence must have shape \[N\]"),
        ([[0.5]], r"confidence must have shape \[N\]"),
    ],
)
def test_invalid_confidence_is_refused(function: Any, confidence: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(np.array(confidence, dtype=np.float64), 15)


@given(data(), st.integers(1, 20), st.booleans())
def test_a_reliability_diagram_adds_up_to_the_error(
    given_data: Data, bins: int, equal_mass: bool
) -> None:
    logits, targets = given_data
    bars = reliability_diagram(logits, targets, bins, equal_mass=equal_mass)
    error = expected_calibration_error_equal_mass if equal_mass else expected_calibration_error
    assert sum(bar.count for bar in bars) == len(targets)
    gaps = [
        bar.count * abs(bar.accuracy - bar.confidence)
        for bar in bars
        if bar.accuracy is not None and bar.confidence is not None
    ]
    assert sum(gaps) / len(targets) == pytest.approx(error(logits, targets, bins), abs=1e-12)
    for bar in bars:
        assert (bar.confidence is None) == (bar.accuracy is None) == (bar.count == 0)
        if bar.confidence is not None:
            assert bar.low - 1e-12 <= bar.confidence <= bar.high + 1e-12
    if not equal_mass:
        assert [bar.low for bar in bars] == [number / bins for number in range(bins)]
