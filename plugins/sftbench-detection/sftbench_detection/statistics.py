"""Per-image statistics whose sums give AP nearly: counts by class, score and overlap.

AP itself is no function of sums: it needs the order of all detections by score. Here scores fall
into bins, and a class's counts in a bin are sums: detections, and those that hit an object at each
of four overlaps. Precision and recall are exact at the borders of bins; between them hits and
misses are taken as evenly mixed. AP over ten overlaps follows from four by a cubic through them.

How near that is: docs/detection.md has the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sftbench_detection.coco import AREAS, Evaluation
from sftbench_detection.layout import Kept

OVERLAPS: Final = (0.5, 0.65, 0.8, 0.95)
# Mean over .5, .55, ..., .95 of the cubic through the four.
_WEIGHTS: Final = np.array([1.0, 2.0, 2.0, 1.0]) / 6.0
# Most classes, and the bins of each: about 6,000 numbers an image; no two rows are equally wide.
_TIERS: Final = ((12, 96), (24, 48), (48, 24), (1 << 30, 12))
_LIMIT: Final = 3.9  # log odds; detections beyond are rare, or their order counts little


def of_images(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64 [N, K] of kept outputs float32 [N, W].

    K is C x (1 + 5 B): of each class the objects, then for each of B bins of scores, the lowest
    first, the detections, then those that hit at each overlap. B is 96 for up to 12 classes, 48 for
    up to 24, 24 for up to 48, else 12. Crowds and what lies in them count for nothing.
    """
    kept = Kept.of(outputs)
    bins = next(bins for most, bins in _TIERS if kept.num_classes <= most)
    edges = _edges(bins)
    found = np.zeros((len(outputs), kept.num_classes, _width(bins)), dtype=np.float64)
    evaluation = Evaluation(kept, OVERLAPS, {"all": AREAS["all"]})
    for one in evaluation.evalImgs:
        if one is None:
            continue
        row = found[one["image_id"], one["category_id"]]
        row[0] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
        places = np.searchsorted(edges, np.asarray(one["dtScores"], dtype=np.float64))
        counted = ~np.asarray(one["dtIgnore"], dtype=bool)
        hits = (np.asarray(one["dtMatches"]) > 0) & counted
        table = row[1:].reshape(1 + len(OVERLAPS), bins)
        np.add.at(table[0], places[counted[0]], 1)
        for number, hit in enumerate(hits, start=1):
            np.add.at(table[number], places[hit], 1)
    return found.reshape(len(outputs), -1)


def ap_from_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AP of summed statistics, [..., K] -> [...]; NaN where there is no object."""
    num_classes, bins = _form(sums.shape[-1])
    shaped = sums.reshape(*sums.shape[:-1], num_classes, _width(bins))
    objects = shaped[..., 0]
    table = shaped[..., 1:].reshape(*objects.shape, 1 + len(OVERLAPS), bins)
    filled = table[..., 0, :].any(axis=tuple(range(objects.ndim)))
    # From the highest scores on; a bin that nobody fills changes nothing.
    table = np.cumsum(table[..., filled][..., ::-1], axis=-1)
    if table.shape[-1] == 0:
        table = np.zeros((*table.shape[:-1], 1))
    of_class = np.where(objects > 0, _ap(table, objects[..., None, None]) @ _WEIGHTS, 0.0)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = of_class.sum(axis=-1) / (objects > 0).sum(axis=-1)
    return mean


def _ap(table: NDArray[np.float64], objects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average precision at each overlap, [..., T], as COCO takes it.

    Args:
        table: [..., 1 + T, B], detections and hits so far, bin by bin.
        objects: [..., 1, 1].
    """
    detections, hits = table[..., :1, :], table[..., 1:, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(detections > 0, np.minimum(hits / detections, 1.0), 0.0)
        recall = hits / objects
    # COCO's precision at a recall is the highest at this or a larger one.
    later = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    before = np.concatenate([np.zeros_like(precision[..., :1]), precision[..., :-1]], axis=-1)
    level = (np.maximum(before, later) + later) / 2
    area = (np.diff(recall, axis=-1, prepend=0.0) * level).sum(axis=-1)
    # It takes the mean over recalls 0, 0.01, ..., 1: one more than hundredths.
    found: NDArray[np.float64] = (100.0 * area + later[..., 0]) / 101.0
    return found


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
    only = Kept(kept.num_classes, best, kept.objects)
    support = np.zeros(kept.num_classes, dtype=np.int64)
    found = np.zeros(kept.num_classes, dtype=np.int64)
    for one in Evaluation(only, (0.5,), {"all": AREAS["all"]}).evalImgs:
        if one is not None:
            counted = np.asarray(one["gtIgnore"]) == 0
            hit = np.asarray(one["gtMatches"])[0] > 0
            support[one["category_id"]] += np.count_nonzero(counted)
            found[one["category_id"]] += np.count_nonzero(hit & counted)
    return support, found


def _edges(bins: int) -> NDArray[np.float64]:
    """Return the borders of bins, float64 [B - 1]: even steps in log odds."""
    edges: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.linspace(-_LIMIT, _LIMIT, bins - 1)))
    return edges


def _width(bins: int) -> int:
    return 1 + (1 + len(OVERLAPS)) * bins


def _form(width: int, tiers: Sequence[tuple[int, int]] = _TIERS) -> tuple[int, int]:
    """Return classes and bins of a row of K numbers.

    Raises:
        ValueError: No number of classes gives such rows.
    """
    least = 1
    for most, bins in tiers:
        num_classes, rest = divmod(width, _width(bins))
        if rest == 0 and least <= num_classes <= most:
            return num_classes, bins
        least = most + 1
    raise ValueError(f"statistics of detections have no {width} columns")
