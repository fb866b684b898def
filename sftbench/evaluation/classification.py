"""Metrics of single-label classification, from logits float [N, C] and targets int64 [N].

Pure numpy in float64. The predicted class is the one with the highest logit, the lowest index among
equals. A class has support when some target names it. Every function raises ValueError for an empty
or ill-shaped input, a target outside 0..C-1, or a logit that is not finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _check_labels(name: str, labels: NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    """Return `labels` as int64 [N], or raise ValueError with `name` in its message."""
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"{name} must have shape [N] with N >= 1, got {list(labels.shape)}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(f"{name} must lie in 0..{num_classes - 1}, got {low}..{high}")
    return labels.astype(np.int64, copy=False)


def _check_logits(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return `logits` as float64 [N, C], or raise ValueError."""
    if logits.ndim != 2 or logits.size == 0:
        raise ValueError(
            f"logits must have shape [N, C] with N >= 1 and C >= 1, got {list(logits.shape)}"
        )
    if not np.issubdtype(logits.dtype, np.floating):
        raise ValueError(f"logits must be floating point, got {logits.dtype}")
    if not np.isfinite(logits).all():
        rows = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        raise ValueError(
            f"logits must be finite: {rows.size} of {len(logits)} examples are not, "
            f"the first at index {rows[0]}"
        )
    return logits.astype(np.float64, copy=False)


def _check(
    logits: NDArray[Any], targets: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return logits as float64 [N, C] and targets as int64 [N], or raise ValueError."""
    scores = _check_logits(logits)
    labels = _check_labels("targets", targets, scores.shape[1])
    if len(scores) != len(labels):
        raise ValueError(f"logits hold {len(scores)} examples, targets {len(labels)}")
    return scores, labels


# ---- probabilities -------------------------------------------------------------------------------


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the log probabilities, float64 [N, C], in nats."""
    scores = _check_logits(logits)
    with np.errstate(over="ignore"):  # a gap beyond float64 is a probability of 0, no accident
        shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the probabilities, float64 [N, C]; none exceeds 1."""
    scores = _check_logits(logits)
    with np.errstate(over="ignore"):  # as in log_softmax
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def nll(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the mean negative log likelihood of the targets, in nats."""
    scores, labels = _check(logits, targets)
    return float(-log_softmax(scores)[np.arange(len(labels)), labels].mean())


def brier(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the Brier score, in [0, 2]: squared error summed over classes, mean over examples.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    scores, labels = _check(logits, targets)
    error = softmax(scores)
    error[np.arange(len(labels)), labels] -= 1.0
    return float(np.square(error).sum(axis=1).mean())


def confidence_and_correct(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probability of the predicted class, float64 [N], and whether it is right."""
    scores, labels = _check(logits, targets)
    return softmax(scores).max(axis=1), scores.argmax(axis=1) == labels


# ---- hits ----------------------------------------------------------------------------------------


def accuracy(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the share of examples whose predicted class is the target."""
    scores, labels = _check(logits, targets)
    return float((scores.argmax(axis=1) == labels).mean())


def topk_accuracy(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64], k: int) -> float:
    """Return the share of examples whose target is among the `k` highest logits.

    Equal logits rank by class index, the lowest first, so k = 1 is `accuracy`; k >= C gives 1.

    Raises:
        ValueError: k is below 1, or the input is invalid.
    """
    scores, labels = _check(logits, targets)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    return float((rank < k).mean())


def confusion(
    predicted: NDArray[np.int64], targets: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Return how often each pair occurs, int64 [C, C]: row = target, column = predicted.

    Args:
        predicted: int64 [N].
        targets: int64 [N].
        num_classes: C.

    Raises:
        ValueError: A label is outside 0..C-1, or the two differ in length.
    """
    guesses = _check_labels("predicted", predicted, num_classes)
    labels = _check_labels("targets", targets, num_classes)
    if len(guesses) != len(labels):
        raise ValueError(f"predicted holds {len(guesses)} examples, targets {len(labels)}")
    cells = np.bincount(labels * num_classes + guesses, minlength=num_classes * num_classes)
    return cells.reshape(num_classes, num_classes).astype(np.int64, copy=False)


def macro_f1(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur among targets or predictions.

    F1 = 2 hits / (support + predictions), so a class never hit has 0, also where its precision or
    recall is 0/0. A class that is neither a target nor predicted is left out.
    """
    scores, labels = _check(logits, targets)
    table = confusion(scores.argmax(axis=1), labels, scores.shape[1])
    occurrences = table.sum(axis=0) + table.sum(axis=1)
    present = occurrences > 0
    return float((2.0 * table.diagonal()[present] / occurrences[present]).mean())


# ---- recalls -------------------------------------------------------------------------------------


def per_class_recall(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return each class's share of hits, float64 [C]; NaN for a class without support."""
    return _recalls(_sums(logits, targets))


def balanced_accuracy(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the mean recall of the classes with support."""
    return float(balanced_accuracy_from_sums(_sums(logits, targets)))


def worst_class_recall(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the lowest recall of a class with support."""
    return float(worst_class_recall_from_sums(_sums(logits, targets)))


def g_mean(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the geometric mean of the recalls of classes with support; 0 if one of them is 0."""
    recalls = per_class_recall(logits, targets)
    recalls = recalls[~np.isnan(recalls)]
    if not recalls.all():
        return 0.0
    # By logarithms: the product over 1000 classes may leave the floating-point range.
    return float(np.exp(np.log(recalls).mean()))


# ---- additive statistics -------------------------------------------------------------------------


def example_statistics(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return statistics of each example whose sums give the `*_from_sums` metrics.

    Returns:
        float64 [N, 2C]: column c is 1 where the example is a hit of class c, column C + c where
        its target is c, else 0. Summed over any multiset of examples: hits and support of classes.
    """
    scores, labels = _check(logits, targets)
    count, num_classes = scores.shape
    rows = np.arange(count)
    statistics = np.zeros((count, 2 * num_classes))
    statistics[rows, labels] = scores.argmax(axis=1) == labels
    statistics[rows, num_classes + labels] = 1.0
    return statistics


def accuracy_from_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the accuracy of summed statistics, [..., 2C] -> [...]; NaN where nothing was summed.

    Raises:
        ValueError: The last axis is not 2C long, or a sum is negative or not finite.
    """
    hits, support = _split(sums)
    return _ratio(hits.sum(axis=-1), support.sum(axis=-1))


def balanced_accuracy_from_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean recall of classes with support, [..., 2C] -> [...]; NaN without any.

    Raises:
        ValueError: The last axis is not 2C long, or a sum is negative or not finite.
    """
    recalls = _recalls(sums)
    supported = ~np.isnan(recalls)
    return _ratio(np.where(supported, recalls, 0.0).sum(axis=-1), supported.sum(axis=-1))


def worst_class_recall_from_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lowest recall of classes with support, [..., 2C] -> [...]; NaN without any.

    Raises:
        ValueError: The last axis is not 2C long, or a sum is negative or not finite.
    """
    return np.asarray(np.fmin.reduce(_recalls(sums), axis=-1))  # fmin passes over NaN


def _sums(logits: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Return what `example_statistics` sums to over all examples, without its [N, 2C] array."""
    scores, labels = _check(logits, targets)
    num_classes = scores.shape[1]
    hits = np.bincount(labels[scores.argmax(axis=1) == labels], minlength=num_classes)
    support = np.bincount(labels, minlength=num_classes)
    return np.concatenate([hits, support]).astype(np.float64)


def _split(sums: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return hits and support, [..., C] each, of sums [..., 2C]; raise ValueError if invalid."""
    if sums.ndim == 0 or sums.shape[-1] == 0 or sums.shape[-1] % 2:
        raise ValueError(f"sums must have shape [..., 2C] with C >= 1, got {list(sums.shape)}")
    if not (np.isfinite(sums) & (sums >= 0)).all():
        raise ValueError("sums must be finite and not negative")
    half = sums.shape[-1] // 2
    return sums[..., :half], sums[..., half:]


def _recalls(sums: NDArray[Any]) -> NDArray[np.float64]:
    """Return recalls [..., C] of sums [..., 2C]; NaN where a class has no support."""
    return _ratio(*_split(sums))


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """Return numerator / denominator in float64; NaN where the denominator is 0."""
    undefined = np.full(np.shape(numerator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))
