"""Per-image statistics whose sums give AP nearly: counts by class, score and overlap.

AP itself is no function of sums: it needs the order of all detections by score. Here scores fall
into bins, and a class's counts in a bin are sums: detections, and those that hit an object at each
of four overlaps. Precision and recall are exact at the borders of bins; between them hits and
misses are taken as evenly mixed. AP over ten overlaps follows from four by a cubic through them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sftbench_detection.coco import AREAS, Evaluation
from sftbench_detection.layout import Kept

OVERLAPS: Final = (0.5, 0.65, 0.8, 0.95)
# Mean over .5, .55, ..., .95 of the cubic through the four.
_WEIGHTS: Final = np.array([1.0, 2.0, 2.0, 1.0]) / 6.0
# Even steps in log odds; beyond them detections are rare, or their order counts little.
_EDGES: Final = 1.0 / (1.0 + np.exp(-np.linspace(-4.5, 4.5, 29)))
NUM_BINS: Final = len(_EDGES) + 1
_PER_CLASS: Final = 1 + (1 + len(OVERLAPS)) * NUM_BINS


def of_images(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64 [N, K] of kept outputs float32 [N, W].

    K is C x (1 + 5 x 30): of each class the objects, then for each bin of scores, the lowest first,
    the detections, then those that hit at each overlap. Crowds and what lies in them count for
    nothing.
    """
    kept = Kept.of(outputs)
    found = np.zeros((len(outputs), kept.num_classes, _PER_CLASS), dtype=np.float64)
    evaluation = Evaluation(kept, OVERLAPS, {"all": AREAS["all"]})
    for one in evaluation.evalImgs:
        if one is None:
            continue
        row = found[one["image_id"], one["category_id"]]
        row[0] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
        bins = np.searchsorted(_EDGES, np.asarray(one["dtScores"], dtype=np.float64))
        counted = ~np.asarray(one["dtIgnore"], dtype=bool)
        hits = (np.asarray(one["dtMatches"]) > 0) & counted
        table = row[1:].reshape(1 + len(OVERLAPS), NUM_BINS)
        np.add.at(table[0], bins[counted[0]], 1)
        for place, hit in enumerate(hits, start=1):
            np.add.at(table[place], bins[hit], 1)
    return found.reshape(len(outputs), -1)


def ap_from_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AP of summed statistics, [..., K] -> [...]; NaN where there is no object."""
    shaped = sums.reshape(*sums.shape[:-1], -1, _PER_CLASS)
    objects = shaped[..., 0]
    table = shaped[..., 1:].reshape(*objects.shape, 1 + len(OVERLAPS), NUM_BINS)
    table = np.cumsum(table[..., ::-1], axis=-1)  # the highest scores first
    detections, hits = table[..., :1, :], table[..., 1:, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(detections > 0, np.minimum(hits / detections, 1.0), 0.0)
        recall = hits / objects[..., None, None]
        later = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
        # Precision falls evenly within a bin, and is nowhere below what a later bin reaches.
        before = np.concatenate([np.zeros_like(precision[..., :1]), precision[..., :-1]], axis=-1)
        level = (np.maximum(before, later) + later) / 2
        area = (np.diff(recall, axis=-1, prepend=0.0) * level).sum(axis=-1)
        # COCO takes the mean over recalls 0, 0.01, ..., 1: one more than hundredths.
        found = (100.0 * area + later[..., 0]) / 101.0
        of_class = np.where(objects > 0, found @ _WEIGHTS, 0.0)
        mean: NDArray[np.float64] = of_class.sum(axis=-1) / (objects > 0).sum(axis=-1)
    return mean


def found_first(outputs: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return objects and those found, int64 [C] each: a recall without a threshold on scores.

    An object is found where one of an image's n best detections hits it at an overlap of 0.5, with
    n the image's objects.
    """
    kept = Kept.of(outputs)
    crowd = kept.objects[..., 6] > 0
    num = ((kept.objects[..., 3] > 0) & ~crowd).sum(axis=1)
    best = kept.detections.copy()
    best[np.arange(best.shape[1])[None, :] >= num[:, None]] = 0.0
    evaluation = Evaluation(
        Kept(kept.num_classes, best, kept.objects), (0.5,), {"all": AREAS["all"]}
    )
    support = np.zeros(kept.num_classes, dtype=np.int64)
    found = np.zeros(kept.num_classes, dtype=np.int64)
    for one in evaluation.evalImgs:
        if one is not None:
            counted = np.asarray(one["gtIgnore"]) == 0
            support[one["category_id"]] += np.count_nonzero(counted)
            found[one["category_id"]] += np.count_nonzero(
                (np.asarray(one["gtMatches"])[0] > 0) & counted
            )
    return support, found
