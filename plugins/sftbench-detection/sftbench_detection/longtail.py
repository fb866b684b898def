"""A long tail over objects, where an image has several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sftbench.api import Options, Subset, Variant, VariantContext


class LongTailInstancesOptions(Options):
    """`ratio`: the most frequent class aims at this many times the objects of the rarest."""

    ratio: float = Field(ge=1)


class LongTailInstances(Variant):
    """Images are left out until the objects of classes fall exponentially, as far as they can.

    Class i of C aims at `n_i = max(1, int(n_max (1 / R) ** (i / (C - 1))))` objects, n_max those of
    the class that has most. Images are looked at once, in a seeded order: one is left out where
    that makes `sum_i |objects_i - n_i| / n_i` smaller and takes no class its last object. Images
    hold several classes, so the ratio that is reached may be smaller than R; the record has the
    counts that are left. An image without an object stays.

    Source: the profile of Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of
    Samples", arXiv:1901.05555, section 5.1. Thinning whole images is ours.
    """

    name = "longtail-instances"
    summary = "whole images left out until objects of classes fall exponentially, R to 1"
    options_model = LongTailInstancesOptions
    argument = "ratio"
    example = "10"
    options: LongTailInstancesOptions

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        """Choose images by the objects in them; without counts each image is one of its target."""
        counts = ctx.class_counts
        if counts is None:
            counts = np.eye(ctx.num_classes, dtype=np.int64)[targets]
        left = counts.sum(axis=0)
        steps = max(ctx.num_classes - 1, 1)
        falling = (1.0 / self.options.ratio) ** (np.arange(ctx.num_classes) / steps)
        aims = np.maximum(1, (int(left.max()) * falling).astype(np.int64))
        words = ctx.generator("instances").bit_generator.random_raw(len(counts))
        keep = np.ones(len(counts), dtype=bool)
        for image in np.argsort(words, kind="stable").tolist():
            after = left - counts[image]
            if ((after == 0) & (left > 0)).any():
                continue
            if _distance(after, aims) < _distance(left, aims):
                keep[image], left = False, after
        indices = np.flatnonzero(keep)
        return Subset(indices, targets[indices])


def _distance(counts: NDArray[np.int64], aims: NDArray[np.int64]) -> float:
    """Return how far counts are from their aims, each class in its own measure."""
    return float((np.abs(counts - aims) / aims).sum())
