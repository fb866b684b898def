from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import special
from sklearn import metrics as sk

from sftbench.evaluation import classification as c

Data = tuple[NDArray[Any], NDArray[np.int64]]

# Class 3 is neither a target nor predicted, class 4 is predicted only. Predicted: 0 0 1 1 2 0 4.
LOGITS = np.array(
    [
        [3.0, 1.0, 0.0, 0.0, 0.0],
        [2.0, 1.0, 0.0, 0.0, 0.0],
        [1.0, 2.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.5, 0.0, 0.0],
        [0.0, 1.0, 1.5, 0.0, 0.0],
        [1.0, 0.0, 0.5, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)
TARGETS = np.array([0, 0, 0, 1, 2, 2, 2])

METRICS: list[Callable[..., Any]] = [
    c.accuracy,
    c.balanced_accuracy,
    c.brier,
    c.confidence_and_correct,
    c.example_statistics,
    c.g_mean,
    c.macro_f1,
    c.nll,
    c.per_class_recall,
    c.worst_class_recall,
    lambda logits, targets: c.topk_accuracy(logits, targets, 2),
]


@st.composite
def data(draw: st.DrawFn) -> Data:
    """Logits on a coarse grid, so that ties and classes without support are common."""
    count, classes = draw(st.integers(1, 25)), draw(st.integers(1, 6))
    grid = st.integers(-6, 6).map(lambda n: n / 2)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    logits = draw(hnp.arrays(np.float64, (count, classes), elements=grid)).astype(dtype)
    return logits, draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))


def skewed(seed: int) -> Data:
    rng = np.random.default_rng(seed)
    targets = rng.choice(7, size=300, p=[0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.02])
    targets[:7] = np.arange(7)
    return rng.normal(size=(300, 7)) * 2 + 1.5 * np.eye(7)[targets], targets


def test_literal_values() -> None:
    assert c.accuracy(LOGITS, TARGETS) == 4 / 7
    recalls = c.per_class_recall(LOGITS, TARGETS)
    np.testing.assert_allclose(recalls, [2 / 3, 1, 1 / 3, np.nan, np.nan], rtol=1e-15)
    assert c.balanced_accuracy(LOGITS, TARGETS) == pytest.approx(2 / 3, rel=1e-14)
    assert c.worst_class_recall(LOGITS, TARGETS) == 1 / 3
    assert c.g_mean(LOGITS, TARGETS) == pytest.approx((2 / 9) ** (1 / 3), rel=1e-14)
    # F1: 2/3, 2/3, 1/2, absent, 0 (predicted, never true)
    assert c.macro_f1(LOGITS, TARGETS) == pytest.approx((2 / 3 + 2 / 3 + 1 / 2 + 0) / 4, rel=1e-14)


def test_confusion_has_targets_in_rows() -> None:
    table = c.confusion(LOGITS.argmax(axis=1), TARGETS, 5)
    assert table.dtype == np.int64
    assert table.tolist() == [
        [2, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("seed", range(3))
def test_against_scikit_learn(seed: int) -> None:
    logits, targets = skewed(seed)
    predicted, labels = logits.argmax(axis=1), np.arange(7)
    probabilities = special.softmax(logits, axis=1)
    near = pytest.approx
    assert c.accuracy(logits, targets) == near(sk.accuracy_score(targets, predicted))
    assert c.balanced_accuracy(logits, targets) == near(
        sk.balanced_accuracy_score(targets, predicted)
    )
    assert c.macro_f1(logits, targets) == near(sk.f1_score(targets, predicted, average="macro"))
    recalls: NDArray[np.float64] = sk.recall_score(targets, predicted, average=None)
    np.testing.assert_allclose(c.per_class_recall(logits, targets), recalls)
    np.testing.assert_array_equal(
        c.confusion(predicted, targets, 7), sk.confusion_matrix(targets, predicted)
    )
    assert c.nll(logits, targets) == near(sk.log_loss(targets, probabilities, labels=labels))
    for k in range(1, 7):
        assert c.topk_accuracy(logits, targets, k) == near(
            sk.top_k_accuracy_score(targets, logits, k=k, labels=labels)
        )


@given(data())
def test_macro_f1_is_scikit_learns_where_classes_are_absent(both: Data) -> None:
    logits, targets = both
    oracle = sk.f1_score(targets, logits.argmax(axis=1), average="macro", zero_division=0.0)
    assert c.macro_f1(logits, targets) == pytest.approx(oracle, abs=1e-12)


def test_softmax_is_float64_and_survives_huge_logits() -> None:
    logits = np.array([[1000.0, 0.0], [-1000.0, -1000.0], [0.0, math.log(3)]], dtype=np.float32)
    probabilities = c.softmax(logits)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, [[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]], rtol=1e-7)
    assert c.log_softmax(logits)[0].tolist() == [0.0, -1000.0]
    assert c.nll(logits[:1], np.array([1])) == 1000.0
    extreme = np.array([[1.7e308, -1.7e308]])
    assert c.softmax(extreme).tolist() == [[1.0, 0.0]]
    assert c.log_softmax(extreme).tolist() == [[0.0, -math.inf]]


@given(data())
def test_softmax_is_scipys(both: Data) -> None:
    logits = both[0].astype(np.float64)
    np.testing.assert_allclose(c.softmax(both[0]), special.softmax(logits, axis=1), rtol=1e-13)
    np.testing.assert_allclose(
        c.log_softmax(both[0]), special.log_softmax(logits, axis=1), rtol=1e-12, atol=1e-14
    )


def test_brier_by_hand() -> None:
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    # (0.5^2 + 0.25^2 + 0.25^2 + 0.1^2 + 0.8^2 + 0.7^2) / 2
    assert c.brier(logits, np.array([0, 1])) == pytest.approx((0.375 + 1.14) / 2, rel=1e-12)
    certain = np.array([[1000.0, 0.0]])
    assert c.brier(certain, np.array([0])) == 0.0
    assert c.brier(certain, np.array([1])) == 2.0


def test_brier_is_twice_scikit_learns_binary_form() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    oracle = sk.brier_score_loss(targets, special.softmax(logits, axis=1)[:, 1])
    assert c.brier(logits, targets) == pytest.approx(2 * oracle, rel=1e-12)


def test_ties_go_to_the_lowest_index() -> None:
    logits, targets = np.zeros((4, 4), dtype=np.float32), np.arange(4)
    assert c.accuracy(logits, targets) == 0.25
    assert [c.topk_accuracy(logits, targets, k) for k in (1, 2, 3, 4, 9)] == [0.25, 0.5, 0.75, 1, 1]


@given(data())
def test_top_k_counts_the_first_k_of_a_stable_descending_order(both: Data) -> None:
    logits, targets = both
    for k in range(1, logits.shape[1] + 2):
        hits = [
            target in np.argsort(-row, kind="stable")[:k]
            for row, target in zip(logits, targets, strict=True)
        ]
        assert c.topk_accuracy(logits, targets, k) == pytest.approx(sum(hits) / len(hits))
    assert c.topk_accuracy(logits, targets, 1) == c.accuracy(logits, targets)
    assert c.topk_accuracy(logits, targets, logits.shape[1]) == 1.0


def test_a_class_never_hit_makes_g_mean_and_worst_recall_zero() -> None:
    logits, targets = np.eye(3)[[0, 1, 0]], np.array([0, 1, 2])
    assert c.g_mean(logits, targets) == 0.0
    assert c.worst_class_recall(logits, targets) == 0.0
    assert c.balanced_accuracy(logits, targets) == pytest.approx(2 / 3, rel=1e-14)


def test_g_mean_of_many_classes_does_not_underflow() -> None:
    # 500 classes with recall 1/10 each: their product is 1e-500.
    targets = np.repeat(np.arange(500), 10)
    predicted = np.where(np.arange(5000) % 10 == 0, targets, (targets + 1) % 500)
    logits = np.zeros((5000, 500), dtype=np.float32)
    logits[np.arange(5000), predicted] = 1.0
    assert c.g_mean(logits, targets) == pytest.approx(0.1, rel=1e-12)


def test_confidence_is_that_of_the_predicted_class() -> None:
    confidence, correct = c.confidence_and_correct(
        np.log([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 1])
    )
    np.testing.assert_allclose(confidence, [0.8, 0.9], rtol=1e-14)
    assert correct.tolist() == [True, False]


@given(data(), st.randoms(use_true_random=False))
def test_order_of_examples_does_not_matter(both: Data, random: Any) -> None:
    logits, targets = both
    order = list(range(len(targets)))
    random.shuffle(order)
    metrics = [c.accuracy, c.balanced_accuracy, c.brier, c.g_mean, c.macro_f1, c.nll]
    for metric in (*metrics, c.worst_class_recall):
        assert metric(logits[order], targets[order]) == pytest.approx(
            metric(logits, targets), rel=1e-12, abs=1e-12
        )


@given(data(), st.integers(1, 4))
def test_balanced_accuracy_is_accuracy_on_balanced_data(both: Data, repeats: int) -> None:
    classes = both[0].shape[1]
    targets = np.tile(np.arange(classes), repeats)
    logits = np.resize(both[0], (len(targets), classes))
    assert c.balanced_accuracy(logits, targets) == pytest.approx(c.accuracy(logits, targets))


# ---- additive statistics -------------------------------------------------------------------------


def test_statistics_of_each_example() -> None:
    logits = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    statistics = c.example_statistics(logits, np.array([0, 1, 2]))
    assert statistics.dtype == np.float64
    assert statistics.tolist() == [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]]


@given(data())
def test_sums_of_statistics_give_the_direct_metrics(both: Data) -> None:
    logits, targets = both
    sums = c.example_statistics(logits, targets).sum(axis=0)
    assert c.accuracy_from_sums(sums) == pytest.approx(c.accuracy(logits, targets))
    # The direct recalls share code with the sums, so an oracle in plain Python stands here.
    rows = [
        [
            guess == target
            for guess, target in zip(logits.argmax(axis=1), targets, strict=True)
            if target == each
        ]
        for each in sorted(set(targets.tolist()))
    ]
    recalls = [sum(row) / len(row) for row in rows]
    assert c.balanced_accuracy_from_sums(sums) == pytest.approx(sum(recalls) / len(recalls))
    assert c.worst_class_recall_from_sums(sums) == pytest.approx(min(recalls))
    assert c.balanced_accuracy(logits, targets) == pytest.approx(sum(recalls) / len(recalls))
    assert c.worst_class_recall(logits, targets) == pytest.approx(min(recalls))


FROM_SUMS = [
    (c.accuracy_from_sums, c.accuracy),
    (c.balanced_accuracy_from_sums, c.balanced_accuracy),
    (c.worst_class_recall_from_sums, c.worst_class_recall),
]


@pytest.mark.parametrize(("from_sums", "direct"), FROM_SUMS)
def test_bootstrap_over_leading_axes(
    from_sums: Callable[..., Any], direct: Callable[..., Any]
) -> None:
    logits, targets = skewed(0)
    drawn = np.random.default_rng(1).integers(0, 300, size=(4, 5, 60))
    metric = from_sums(c.example_statistics(logits, targets)[drawn].sum(axis=2))
    assert metric.shape == (4, 5)
    for where in np.ndindex(4, 5):
        expected = direct(logits[drawn[where]], targets[drawn[where]])
        assert metric[where] == pytest.approx(expected, rel=1e-14)


def test_from_sums_ignores_classes_without_support() -> None:
    sums = np.array([[1.0, 0, 0, 2, 4, 0], [0, 0, 0, 0, 0, 0], [0.5, 0.25, 1, 1, 1, 1]])
    nan = math.nan
    np.testing.assert_allclose(c.accuracy_from_sums(sums), [1 / 6, nan, 1.75 / 3], rtol=1e-14)
    np.testing.assert_allclose(c.balanced_accuracy_from_sums(sums), [0.25, nan, 1.75 / 3])
    np.testing.assert_allclose(c.worst_class_recall_from_sums(sums), [0.0, nan, 0.25])
    without_last = np.array([2.0, 1, 0, 2, 2, 0])
    assert c.worst_class_recall_from_sums(without_last) == 0.5


# ---- invalid input -------------------------------------------------------------------------------

GOOD = np.zeros((2, 3))
BAD_INPUT: list[tuple[NDArray[Any], NDArray[Any], str]] = [
    (np.zeros(3), np.array([0, 1, 2]), r"logits must have shape \[N, C\].*got \[3\]"),
    (np.zeros((0, 3)), np.zeros(0, dtype=np.int64), r"logits must have shape.*got \[0, 3\]"),
    (np.zeros((2, 0)), np.array([0, 0]), r"logits must have shape.*got \[2, 0\]"),
    (np.zeros((2, 3), dtype=np.int64), np.array([0, 1]), "logits must be floating point"),
    (np.array([[0.0, 1], [0, np.nan]]), np.array([0, 1]), "1 of 2 examples .* at index 1"),
    (np.array([[0.0, np.inf], [0, 1]]), np.array([0, 1]), "1 of 2 examples .* at index 0"),
    (GOOD, np.array([0, 3]), r"targets must lie in 0\.\.2, got 0\.\.3"),
    (GOOD, np.array([-1, 2]), r"targets must lie in 0\.\.2, got -1\.\.2"),
    (GOOD, np.array([0, 1, 2]), "logits hold 2 examples, targets 3"),
    (GOOD, np.array([[0, 1]]), r"targets must have shape \[N\].*got \[1, 2\]"),
    (GOOD, np.array([0.0, 1.0]), "targets must be integers, got float64"),
    (GOOD, np.array([True, False]), "targets must be integers, got bool"),
]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("logits", "targets", "message"), BAD_INPUT)
def test_invalid_input_is_refused(
    metric: Callable[..., Any], logits: NDArray[Any], targets: NDArray[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(logits, targets)


@pytest.mark.parametrize("function", [c.softmax, c.log_softmax])
def test_probabilities_refuse_what_is_not_finite(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="logits must be finite"):
        function(np.array([[np.nan, 0.0]]))


def test_confusion_and_k_and_sums_refuse_what_is_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"predicted must lie in 0\.\.1, got 0\.\.2"):
        c.confusion(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="predicted holds 2 examples, targets 1"):
        c.confusion(np.array([0, 1]), np.array([0]), 2)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        c.topk_accuracy(GOOD, np.array([0, 1]), 0)


@pytest.mark.parametrize("function", [pair[0] for pair in FROM_SUMS])
@pytest.mark.parametrize("sums", [np.zeros(3), np.zeros((2, 0)), np.float64(1.0)])
def test_sums_of_the_wrong_shape_are_refused(
    function: Callable[..., Any], sums: NDArray[np.float64]
) -> None:
    with pytest.raises(ValueError, match=r"sums must have shape \[..., 2C\]"):
        function(sums)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_sums_that_no_examples_give_are_refused(value: float) -> None:
    for function, _ in FROM_SUMS:
        with pytest.raises(ValueError, match="sums must be finite and not negative"):
            function(np.array([1.0, value]))
