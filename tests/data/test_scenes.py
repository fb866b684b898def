"""Composed scenes: exact boxes and masks, the same under one seed."""

from __future__ import annotations

import numpy as np
import pytest

from sftbench.api import compose_scenes
from sftbench.builtin.datasets.embedded_files import load_fashion_mnist_mini
from sftbench.data.scenes import Scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    arrays = load_fashion_mnist_mini()
    return compose_scenes(arrays.train_images, arrays.train_labels, num=60, size=128, seed=3)


def test_every_scene_has_items_with_exact_boxes_and_masks(scenes: list[Scene]) -> None:
    labels = load_fashion_mnist_mini().train_labels
    for scene in scenes:
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == scene.mask.dtype == np.uint8
        assert 1 <= len(scene.labels) == len(scene.boxes) <= 4
        assert np.array_equal(scene.labels, labels[scene.items])
        assert set(np.unique(scene.mask)) - {0} == set(range(1, len(scene.labels) + 1))
        for place, (x0, y0, x1, y1) in enumerate(scene.boxes.astype(int), start=1):
            seen = scene.mask == place
            inside = seen[y0:y1, x0:x1]
            assert inside.sum() == seen.sum()  # nothing of it lies outside
            assert inside[0].any()  # and each edge touches it
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()


def test_scenes_have_one_to_four_items_of_every_class(scenes: list[Scene]) -> None:
    assert {len(scene.labels) for scene in scenes} == {1, 2, 3, 4}
    assert set(np.concatenate([scene.labels for scene in scenes]).tolist()) == set(range(10))


def test_an_item_shows_its_own_pixels(scenes: list[Scene]) -> None:
    arrays = load_fashion_mnist_mini()
    [alone] = compose_scenes(
        arrays.train_images[:1], arrays.train_labels[:1], num=1, size=64, seed=0,
        most_items=1, scales=(1.0, 1.0),
    )  # fmt: skip
    x0, y0, x1, y1 = alone.boxes[0].astype(int)
    item = arrays.train_images[0]
    rows, columns = (np.flatnonzero((item > 16).any(axis=axis)) for axis in (1, 0))
    assert (y1 - y0, x1 - x0) == (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    seen = alone.mask[y0:y1, x0:x1] == 1
    grey = item[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shown = alone.image[y0:y1, x0:x1].astype(float)[seen]
    # Tinted: each colour is the grey value times one factor, cut to whole numbers.
    for colour in shown.T:
        factor = np.median(colour / grey[seen])
        assert np.abs(colour - factor * grey[seen]).max() <= 2.0


def test_one_seed_gives_one_list() -> None:
    arrays = load_fashion_mnist_mini()
    made = [
        compose_scenes(arrays.test_images, arrays.test_labels, num=3, size=96, seed=seed)
        for seed in (1, 1, 2)
    ]
    for first, again in zip(made[0], made[1], strict=True):
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(made[0][0].image, made[2][0].image)


def test_items_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit scenes of 32 pixels"):
        compose_scenes(
            np.ones((1, 28, 28), np.uint8), np.zeros(1, np.int64), num=1, size=32, seed=0
        )
