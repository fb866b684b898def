from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.neighbors import KNeighborsClassifier

from sftbench.evaluation.transferability import log_me, nearest_accuracy


def data(num: int, width: int, signal: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 3, num)
    centres = generator.standard_normal((3, width))
    return signal * centres[targets] + generator.standard_normal((num, width)), targets


@pytest.mark.parametrize(("num", "width"), [(40, 5), (12, 20)])
def test_log_me_is_the_largest_evidence(num: int, width: int) -> None:
    # Oracle: the marginal likelihood itself, y ~ N(0, F F^T / alpha + I / beta), maximised by a
    # general optimiser.
    features, targets = data(num, width, 0.7)
    best = []
    for label in range(3):
        y = (targets == label).astype(float)

        def loss(logs: np.ndarray, y: np.ndarray = y) -> float:
            alpha, beta = np.exp(logs)
            covariance = features @ features.T / alpha + np.eye(num) / beta
            return -float(multivariate_normal(np.zeros(num), covariance).logpdf(y)) / num

        found = min(
            (minimize(loss, start, method="Nelder-Mead") for start in ([0, 0], [3, 2], [-2, 1])),
            key=lambda result: result.fun,
        )
        best.append(-found.fun)
    assert log_me(features, targets) == pytest.approx(np.mean(best), abs=2e-3)


def test_better_features_promise_more() -> None:
    scores = [log_me(*data(300, 10, signal)) for signal in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores)
    assert scores[2] > scores[0] + 0.3


def test_log_me_does_not_depend_on_rotation() -> None:
    features, targets = data(60, 6, 1.0)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))
    assert log_me(features @ rotation, targets) == pytest.approx(log_me(features, targets))


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    features, targets = data(200, 8, 0.8)
    others, truth = data(100, 8, 0.8, seed=0)
    oracle = KNeighborsClassifier(1, metric="cosine").fit(features, targets)
    assert nearest_accuracy(features, targets, others, truth, k=1) == pytest.approx(
        oracle.score(others, truth)
    )
    voted = KNeighborsClassifier(5, metric="cosine").fit(features, targets).score(others, truth)
    # Ties of five votes over three classes are decided otherwise there.
    assert nearest_accuracy(features, targets, others, truth) == pytest.approx(voted, abs=0.05)


def test_equal_votes_go_to_the_nearer_class() -> None:
    features = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    targets = np.array([1, 1, 0, 0])
    assert nearest_accuracy(features, targets, np.array([[1.0, 0.2]]), np.array([1]), k=4) == 1.0


def test_features_that_say_nothing_have_a_finite_score() -> None:
    targets = np.arange(30) % 3
    assert np.isfinite(log_me(np.zeros((30, 4)), targets))
    assert log_me(np.zeros((30, 4)), targets) < log_me(np.eye(3)[targets], targets)
