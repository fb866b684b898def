"""How well examples of another data set are told apart by their logits. Pure numpy.

A score is higher where a model is surer, so examples of the target (inside) should have higher
ones than others (outside). The inside is the positive class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sftbench.evaluation.classification import log_softmax, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORES = ("max_softmax", "energy", "max_logit")


def score(logits: NDArray[np.floating[Any]], name: str) -> NDArray[np.float64]:
    """Return how sure a model is of each example, float64 [N].

    Args:
        logits: float [N, C].
        name: `max_softmax`: the highest probability (Hendrycks and Gimpel 2017, arXiv:1610.02136).
            `energy`: log sum exp of the logits, which is the negative energy at temperature 1
            (Liu et al. 2020, arXiv:2010.03759, equation 4). `max_logit`: the highest logit
            (Hendrycks et al. 2022, arXiv:1911.11132).

    Raises:
        ValueError: There is no such score, or a logit is not finite.
    """
    if name == "max_softmax":
        return np.asarray(softmax(logits).max(axis=1))
    highest = np.asarray(logits.max(axis=1), dtype=np.float64)
    if name == "max_logit":
        return highest
    if name == "energy":
        return np.asarray(highest - log_softmax(logits).max(axis=1))
    raise ValueError(f"no such score: {name!r}")


def auroc(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """Return the probability that an example inside scores higher than one outside; equals: half.

    Args:
        inside: float64 [N].
        outside: float64 [M].

    Raises:
        ValueError: One of them is empty.

    Source: the Mann-Whitney U statistic over N M, which is the area under the ROC curve.
    """
    _check(inside, outside)
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left")
    not_above = np.searchsorted(ordered, inside, side="right")
    return float((below + not_above).sum() / (2 * len(inside) * len(outside)))


def fpr_at_tpr(
    inside: NDArray[np.float64], outside: NDArray[np.float64], tpr: float = 0.95
) -> float:
    """Return the share of the outside that passes the highest threshold which `tpr` inside pass.

    Args:
        inside: float64 [N].
        outside: float64 [M].
        tpr: The least share of the inside, above 0 and at most 1.

    Raises:
        ValueError: One of them is empty.

    Source: Hendrycks and Gimpel 2017 and Liu et al. 2020 (FPR95): the first point of the ROC curve
        whose true positive rate is at least 0.95.
    """
    _check(inside, outside)
    ordered = np.sort(inside)[::-1]
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    threshold = ordered[int(np.argmax(shares >= tpr))]
    return float((outside >= threshold).mean())


def _check(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> None:
    if len(inside) == 0 or len(outside) == 0:
        raise ValueError("scores of both kinds of examples are needed")
