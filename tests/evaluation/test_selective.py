from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from sftbench.evaluation.classification import accuracy, softmax
from sftbench.evaluation.selective import aurc, risks, selective_accuracy

Data = tuple[NDArray[Any], NDArray[np.int64]]


@st.composite
def data(draw: st.DrawFn, most: int = 6) -> Data:
    """Coarse logits, so that equal confidences are common."""
    count = draw(st.integers(1, most))
    grid = st.sampled_from([0.0, 0.0, 1.0, 2.5])
    logits = draw(hnp.arrays(np.float64, (count, 3), elements=grid))
    return logits, draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2)))


def curves(logits: NDArray[Any], targets: NDArray[np.int64]) -> list[list[float]]:
    """Risks at 1 ... N examples under every order that ranks by confidence, in plain Python."""
    confidence = softmax(logits).max(axis=1).tolist()
    wrong = [int(row.argmax() != target) for row, target in zip(logits, targets, strict=True)]
    found = []
    for order in itertools.permutations(range(len(wrong))):
        ranked = [confidence[i] for i in order]
        if ranked == sorted(ranked, reverse=True):
            errors = [wrong[i] for i in order]
            found.append([sum(errors[:k]) / k for k in range(1, len(errors) + 1)])
    return found


@given(data())
def test_risk_is_the_mean_over_all_orders_of_equals(given_data: Data) -> None:
    logits, targets = given_data
    every = curves(logits, targets)
    coverage, risk = risks(logits, targets)
    count = len(targets)
    assert coverage.tolist() == [k / count for k in range(1, count + 1)]
    assert risk == pytest.approx(np.mean(every, axis=0), abs=1e-12)
    # By trapezoids 1 / N wide, one after another.
    areas = [
        sum((curve[k] + curve[k + 1]) / 2 / count for k in range(count - 1)) for curve in every
    ]
    assert aurc(logits, targets) == (
        None if count == 1 else pytest.approx(np.mean(areas), abs=1e-12)
    )


@given(data(most=5), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_selective_accuracy_leaves_the_least_certain_out(given_data: Data, share: float) -> None:
    logits, targets = given_data
    keep = next(k for k in range(1, len(targets) + 1) if k >= share * len(targets) - 1e-9)
    expected = 1 - np.mean([curve[keep - 1] for curve in curves(logits, targets)])
    assert selective_accuracy(logits, targets, share) == pytest.approx(expected, abs=1e-12)


@given(data(most=40), st.randoms(use_true_random=False))
def test_the_order_of_examples_does_not_matter(given_data: Data, random: Any) -> None:
    logits, targets = given_data
    order = list(range(len(targets)))
    random.shuffle(order)
    assert aurc(logits[order], targets[order]) == pytest.approx(aurc(logits, targets))
    turned = selective_accuracy(logits[order], targets[order])
    assert turned == pytest.approx(selective_accuracy(logits, targets))


def test_hand_computed() -> None:
    # Confidences fall from row to row; the third of four is wrong.
    logits = np.array([[9.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    targets = np.array([0, 0, 1, 0], dtype=np.int64)
    assert aurc(logits, targets) == pytest.approx(0 / 4 + (1 / 3) / 8 + (1 / 3 + 1 / 4) / 8)
    assert selective_accuracy(logits, targets, 0.5) == 1.0
    assert selective_accuracy(logits, targets, 0.75) == pytest.approx(2 / 3)
    assert selective_accuracy(logits, targets) == selective_accuracy(logits, targets, 1.0) == 0.75
    assert selective_accuracy(logits, targets, 1.0) == accuracy(logits, targets)


def test_a_whole_share_is_not_rounded_up() -> None:
    # 0.55 x 20 is 11.000000000000002 in floating point.
    logits = np.stack([np.arange(20, 0, -1.0), np.zeros(20)], axis=1)
    targets = np.array([0] * 11 + [1] * 9, dtype=np.int64)
    assert selective_accuracy(logits, targets, 0.55) == 1.0


@pytest.mark.parametrize("coverage", [0.0, -0.5, 1.1])
def test_a_coverage_that_there_is_not(coverage: float) -> None:
    with pytest.raises(ValueError, match=r"coverage must be above 0 and at most 1"):
        selective_accuracy(np.zeros((1, 2)), np.array([0], dtype=np.int64), coverage)
