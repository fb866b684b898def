"""What tests of segmentation share: a catalog of this package, a small data set, predictions."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from numpy.typing import NDArray

from sftbench.api import Predictions
from sftbench.catalog import Catalog
from sftbench.discovery import GROUP, build_catalog

POINTS = [
    EntryPoint("builtin", "sftbench.builtin", GROUP),
    EntryPoint("sftbench-segmentation", "sftbench_segmentation", GROUP),
]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return build_catalog(POINTS)


CountPixels = Callable[[NDArray[np.int64], NDArray[np.int64], int], Predictions]


@pytest.fixture(scope="session")
def count_pixels() -> CountPixels:
    """Return what turns masks [N, H, W], guesses [N, H, W] and C into kept predictions."""
    return _count_pixels


def _count_pixels(
    truth: NDArray[np.int64], guess: NDArray[np.int64], num_classes: int
) -> Predictions:
    """Count pixels one by one: an oracle that shares no line with the package."""
    rows = np.zeros((len(truth), num_classes * num_classes + 1), dtype=np.float32)
    for row, mask, found in zip(rows, truth, guess, strict=True):
        for wanted, got in zip(mask.reshape(-1), found.reshape(-1), strict=True):
            if wanted != 255:
                row[wanted * num_classes + got] += 1
    index = np.arange(len(truth), dtype=np.int64)
    return Predictions(index, np.zeros(len(truth), dtype=np.int64), rows)
