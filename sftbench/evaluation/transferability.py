"""How well frozen features promise to serve a data set, without training anything. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ITERATIONS = 100
_TOLERANCE = 1e-4


def log_me(features: Floats, targets: Ints) -> float:
    """Return the log maximum evidence of the labels given the features: higher promises more.

    Each class against the rest is a Bayesian linear regression of 0 and 1 on the features; its
    evidence is maximised over the precisions of weights and noise.

    Source: You, Liu, Wang and Long 2021, arXiv:2102.11005, equation 2 and algorithm 3 (the
    fixed-point iteration on the singular value decomposition).

    Args:
        features: float64 [N, D].
        targets: int64 [N]; every class that occurs counts once.

    Returns:
        Mean over classes of the log evidence of one example, in nats.
    """
    num, width = features.shape
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squares = np.maximum(singular**2, 1e-12)  # of features that are all zero nothing is known
    evidence = [
        _evidence((targets == label).astype(np.float64), left, squares, num, width)
        for label in np.unique(targets)
    ]
    return float(np.mean(evidence))


def _evidence(y: Floats, left: Floats, squares: Floats, num: int, width: int) -> float:
    """Maximise the log evidence of targets y, per example, over both precisions."""
    projected = (left.T @ y) ** 2
    outside = max(float(y @ y - projected.sum()), 0.0)  # what no weights explain
    alpha, beta = 1.0, 1.0
    for _ in range(_ITERATIONS):
        ratio = alpha / beta
        effective = float((squares / (squares + ratio)).sum())
        weights = float((squares * projected / (squares + ratio) ** 2).sum())
        residual = float((projected * (ratio / (squares + ratio)) ** 2).sum()) + outside
        alpha = effective / (weights + 1e-12)
        beta = (num - effective) / (residual + 1e-12)
        if abs(alpha / beta - ratio) <= _TOLERANCE * ratio:
            break
    ratio = alpha / beta
    weights = float((squares * projected / (squares + ratio) ** 2).sum())
    residual = float((projected * (ratio / (squares + ratio)) ** 2).sum()) + outside
    log_determinant = np.log(alpha + beta * squares).sum() + (width - len(squares)) * np.log(alpha)
    total = (
        width * np.log(alpha)
        + num * np.log(beta)
        - log_determinant
        - beta * residual
        - alpha * weights
        - num * np.log(2 * np.pi)
    )
    return float(total / (2 * num))


def nearest_accuracy(
    features: Floats, targets: Ints, others: Floats, other_targets: Ints, k: int = 5
) -> float:
    """Return the share of `others` whose k nearest examples by cosine vote for their label.

    Args:
        features: float64 [N, D] that are searched.
        targets: int64 [N].
        others: float64 [M, D].
        other_targets: int64 [M].
        k: Votes; of equal counts the class with the nearer examples wins.
    """
    similar = _unit(others) @ _unit(features).T
    count = min(k, len(targets))
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :count]
    votes = np.zeros((len(others), int(targets.max()) + 1))
    # A vote is one, and a little more for the nearer: equal counts are decided by nearness.
    closeness = np.take_along_axis(similar, nearest, axis=1) / (4.0 * count)
    rows = np.arange(len(others))[:, None]
    np.add.at(votes, (rows, targets[nearest]), 1.0 + closeness)
    return float(np.mean(np.argmax(votes, axis=1) == other_targets))


def _unit(features: Floats) -> Floats:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
