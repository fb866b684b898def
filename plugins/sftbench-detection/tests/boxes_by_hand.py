"""Kept rows made by hand or drawn, for the tests of metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sftbench_detection.layout import DETECTION, HEADER, KEPT_WIDTH, MOST_DETECTIONS

Row = tuple[float, ...]


def kept_of(images: list[tuple[list[Row], list[Row]]], num_classes: int) -> NDArray[np.float32]:
    """Rows of images, each of detections (class, score, x, y, w, h) and objects (7 numbers)."""
    kept = np.zeros((len(images), KEPT_WIDTH), dtype=np.float32)
    kept[:, :3] = num_classes, 200, 200
    for row, (detections, objects) in zip(kept, images, strict=True):
        ordered = sorted(detections, key=lambda one: -one[1])
        flat = np.array(ordered, dtype=np.float32).ravel()
        row[HEADER : HEADER + len(flat)] = flat
        start = HEADER + MOST_DETECTIONS * DETECTION
        flat = np.array(objects, dtype=np.float32).ravel()
        row[start : start + len(flat)] = flat
    return kept


def thing(label: int, x: float, y: float, w: float, h: float, crowd: int = 0) -> Row:
    return (label, x, y, w, h, w * h, crowd)


def drawn_images(seed: int, num: int, num_classes: int) -> list[tuple[list[Row], list[Row]]]:
    """Objects of all sizes, some of them crowds, and detections near them or anywhere."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(num):
        objects, detections = [], []
        for _ in range(int(rng.integers(0, 6))):
            side = rng.choice([12.0, 50.0, 130.0])
            x, y, w, h = *rng.uniform(0, 60, 2), *(side * rng.uniform(0.7, 1.3, 2))
            label = int(rng.integers(num_classes))
            objects.append((label, x, y, w, h, w * h * rng.uniform(0.5, 1.0), rng.random() < 0.1))
            for _ in range(int(rng.integers(0, 4))):
                near = np.array([x, y, w, h]) + rng.normal(0, 0.08 * side, 4)
                other = label if rng.random() < 0.8 else int(rng.integers(num_classes))
                detections.append((other, rng.random(), *near[:2], *np.maximum(near[2:], 1)))
        for _ in range(int(rng.integers(0, 4))):
            box = (*rng.uniform(0, 100, 2), *rng.uniform(5, 100, 2))
            detections.append((int(rng.integers(num_classes)), rng.random(), *box))
        images.append((detections, objects))
    return images
