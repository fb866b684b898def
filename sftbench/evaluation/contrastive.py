"""Scores of paired views. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1024


def retrieved(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Tell of each image whether its second view is the nearest of all second views.

    Args:
        outputs: float32 [N, 2 P], the projections of both views side by side.

    Returns:
        float64 [N], 1 where it is; nearness is the cosine, and of equals the first counts.
    """
    first, second = _views(outputs)
    parts = [
        np.argmax(first[start : start + _CHUNK] @ second.T, axis=1)
        for start in range(0, len(first), _CHUNK)
    ]
    found = np.concatenate(parts) == np.arange(len(first))
    return np.asarray(found, dtype=np.float64)


def nt_xent(outputs: NDArray[np.float32], temperature: float) -> float:
    """Return the mean normalised temperature-scaled cross-entropy of the pairs.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1.

    Args:
        outputs: float32 [N, 2 P], the projections of both views side by side.
        temperature: Divides the cosines.
    """
    views = np.concatenate(_views(outputs))
    num = len(outputs)
    total = 0.0
    for start in range(0, len(views), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(views)))
        scores = views[rows] @ views.T / temperature
        scores[rows - start, rows] = -np.inf  # a view is no candidate for itself
        top = scores.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
        total += float((log_sum - scores[rows - start, (rows + num) % (2 * num)]).sum())
    return total / len(views)


def _views(outputs: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both views' projections of length one, float64 [N, P] each."""
    pairs = outputs.astype(np.float64).reshape(len(outputs), 2, -1)
    pairs /= np.maximum(np.linalg.norm(pairs, axis=2, keepdims=True), 1e-12)
    return pairs[:, 0], pairs[:, 1]
