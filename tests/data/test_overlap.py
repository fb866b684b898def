from __future__ import annotations

import numpy as np

from sftbench.api import Examples
from sftbench.data.overlap import shared_images


def examples(images: np.ndarray) -> Examples:
    return Examples(images, np.zeros(len(images), np.int64))


def images(count: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 6, 6, channels), dtype=np.uint8)


def test_images_in_common_are_counted_over_all_splits() -> None:
    source = images(10)
    train = np.concatenate([source[3:5], images(4, seed=1)])
    test = np.concatenate([images(4, seed=2), source[9:]])

    assert shared_images(examples(source), examples(train), examples(test)) == 3
    assert shared_images(examples(source), examples(images(4, seed=1))) == 0


def test_one_bit_makes_another_image() -> None:
    source = images(1)
    other = source.copy()
    other[0, 2, 3, 1] ^= 1
    assert shared_images(examples(source), examples(other)) == 0


def test_grey_images_are_the_same_in_one_channel_and_in_three() -> None:
    grey = images(5, channels=1)
    assert shared_images(examples(grey), examples(np.repeat(grey, 3, axis=3))) == 5


def test_the_form_counts() -> None:
    wide = images(3).reshape(3, 4, 9, 3)
    assert shared_images(examples(images(3)), examples(wide)) == 0


def test_empty_images_say_nothing() -> None:
    black = np.zeros((3, 6, 6, 1), np.uint8)
    assert shared_images(examples(black), examples(black)) == 0


def test_what_is_no_image_and_no_text_has_nothing_in_common() -> None:
    others = Examples([{"a": 1}, {"b": 2}], np.zeros(2, np.int64))
    assert shared_images(others, others) == 0


def test_texts_in_common_are_counted() -> None:
    source = Examples(("one text", "another"), np.zeros(2, np.int64))
    target = Examples(["another", "a third", "another"], np.zeros(3, np.int64))
    assert shared_images(source, target) == 2
    assert shared_images(source, examples(images(2))) == 0
