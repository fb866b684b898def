"""Resampled metrics: the same draws for every record, and the metric of each draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sftbench.evaluation import resampling as sut


def ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def test_values_are_the_metric_of_each_draw_counted_one_by_one() -> None:
    statistics = np.random.default_rng(0).random((12, 2))
    values = sut.resample(statistics, ratio, num_resamples=30, seed=3)
    draws = np.random.Generator(np.random.PCG64(3)).integers(12, size=(30, 12))
    expected = [statistics.sum(axis=0)] + [statistics[drawn].sum(axis=0) for drawn in draws]
    assert values == pytest.approx([a / b for a, b in expected], rel=1e-12)


def test_more_resamples_begin_with_the_same_ones() -> None:
    statistics = np.random.default_rng(1).random((50, 2))
    few, many = (sut.resample(statistics, ratio, num) for num in (10, 40))
    assert many[:11] == pytest.approx(few, rel=1e-12)


def test_records_of_one_test_set_see_the_same_draws() -> None:
    statistics = np.random.default_rng(2).random((40, 2))
    shifted = statistics + np.array([1.0, 0.0])
    difference = sut.resample(shifted, lambda s: s[..., 0]) - sut.resample(
        statistics, lambda s: s[..., 0]
    )
    assert difference == pytest.approx(40.0)  # one for each example that was drawn


def test_the_spread_is_that_of_a_mean() -> None:
    hits = (np.arange(400) < 100).astype(float)
    values = sut.resample(np.stack([hits, np.ones(400)], axis=1), ratio)
    assert len(values) == 1 + 2000
    assert values[0] == 0.25
    assert values[1:].std() == pytest.approx(math.sqrt(0.25 * 0.75 / 400), rel=0.06)


def test_a_draw_without_a_class_has_no_value() -> None:
    rare = np.zeros((10, 2))
    rare[0] = 1.0
    values = sut.resample(rare, ratio, num_resamples=100)
    assert values[0] == 1.0
    assert 0.2 < np.isnan(values).mean() < 0.5  # (1 - 1/10)^10 = 0.35


def test_digests_tell_test_sets_apart() -> None:
    digests = {sut.digest_of_examples(np.array(index)) for index in ([0, 1, 2], [0, 1, 3], [0, 1])}
    assert len(digests) == 3
    assert sut.digest_of_examples(np.arange(3)) == sut.digest_of_examples(np.array([0, 1, 2]))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[examples, K\], got shape \(0, 2\)"):
        sut.resample(np.ones((0, 2)), ratio)
    with pytest.raises(ValueError, match=r"metric must map \[..., K\] to \[...\], got \(\)"):
        sut.resample(np.ones((3, 2)), np.sum)
