"""Confusion matrices of pixels, and what follows from them. Numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sftbench.api import Predictions

Floats = NDArray[np.float64]

IGNORED = 255
"""The mask's value of a pixel that has no class."""


def width_of(num_classes: int) -> int:
    """Return how many numbers are kept of an image: its matrix and its summed loss."""
    return num_classes * num_classes + 1


def matrices(predictions: Predictions) -> Floats:
    """Return a confusion matrix for each image, float64 [N, C, C].

    Entry [n, t, p] counts the pixels of image n whose class is t and was predicted as p; ignored
    pixels are in none.
    """
    kept = predictions.outputs
    num_classes = round((kept.shape[1] - 1) ** 0.5)
    return kept[:, :-1].reshape(len(kept), num_classes, num_classes).astype(np.float64)


def mean_loss(predictions: Predictions) -> float | None:
    """Return the mean cross-entropy of a pixel, in nats; None where every pixel is ignored."""
    kept = predictions.outputs.astype(np.float64)
    pixels = kept[:, :-1].sum()
    return float(kept[:, -1].sum() / pixels) if pixels else None


def class_sums(each: Floats) -> Floats:
    """Return float64 [..., 2 C] of matrices [..., C, C]: intersection and union of each class."""
    hits = np.diagonal(each, axis1=-2, axis2=-1)
    unions = each.sum(axis=-1) + each.sum(axis=-2) - hits
    return np.concatenate([hits, unions], axis=-1)


def ious(sums: Floats) -> Floats:
    """Return the IoU of each class, [..., C] of sums [..., 2 C].

    It is NaN for an absent class: one that no pixel has and none was predicted as.
    """
    hits, unions = np.split(sums, 2, axis=-1)
    return np.divide(hits, unions, out=np.full_like(hits, np.nan), where=unions > 0)


def mean_iou(sums: Floats) -> Floats:
    """Return the mean IoU of the classes that are not absent, [...] of sums [..., 2 C].

    NaN where all are absent.
    """
    each = ious(sums)
    present = ~np.isnan(each)
    total = np.where(present, each, 0.0).sum(axis=-1)
    count = present.sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def recalls(each: Floats) -> Floats:
    """Return the share of each class's pixels that were found, [..., C]; NaN without pixels."""
    hits, pixels = np.diagonal(each, axis1=-2, axis2=-1), each.sum(axis=-1)
    return np.asarray(np.divide(hits, pixels, out=np.full_like(pixels, np.nan), where=pixels > 0))
