"""Pretexts: made of images alone, labels never read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sftbench.api import Dataset, RequestError
from sftbench.discovery import build_catalog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        np.save(
            tmp_path / f"{split}_images.npy",
            generator.integers(0, 256, (count, 8, 10, 3), dtype=np.uint8),
        )
        np.save(tmp_path / f"{split}_labels.npy", np.arange(count) % 2)
    return tmp_path


def create(reference: str) -> Dataset:
    made = build_catalog(chosen="").create("dataset", reference)
    assert isinstance(made, Dataset)
    return made


def test_every_image_is_turned_four_times(folder: Path) -> None:
    made = create(f"rotation:arrays:{folder}")
    examples = made.load("train", 8)
    source = np.load(folder / "train_images.npy")[:, :, 1:9]  # squares

    assert made.info().num_train == len(examples.inputs) == 80
    assert made.info().class_names == ("0", "90", "180", "270")
    for turn in range(4):
        assert (examples.targets[turn::4] == turn).all()
        np.testing.assert_array_equal(examples.inputs[turn::4], np.rot90(source, turn, axes=(1, 2)))
    assert examples.groups is not None
    assert examples.groups.tolist() == [n // 4 for n in range(80)]


def test_no_image_is_on_both_sides_of_validation(folder: Path) -> None:
    from sftbench.data.splits import carve_validation

    examples = create(f"rotation:arrays:{folder}").load("train", 8)
    train, val = carve_validation(
        examples.targets, 0.25, np.random.default_rng(0), groups=examples.groups
    )
    assert len(val) == 20
    assert not set(train // 4) & set(val // 4)


def test_views_of_one_image_need_no_labels(folder: Path) -> None:
    made = create(f"simclr:arrays:{folder}")
    examples = made.load("test", 8)

    assert made.info().task == "contrastive"
    assert (examples.targets == 0).all()
    np.testing.assert_array_equal(examples.inputs, np.load(folder / "test_images.npy"))


@pytest.mark.parametrize("pretext", ["rotation", "simclr"])
def test_labels_change_nothing(folder: Path, pretext: str) -> None:
    before = create(f"{pretext}:arrays:{folder}").load("train", 8)
    np.save(folder / "train_labels.npy", np.arange(20)[::-1] % 2)
    after = create(f"{pretext}:arrays:{folder}").load("train", 8)

    np.testing.assert_array_equal(before.inputs, after.inputs)
    np.testing.assert_array_equal(before.targets, after.targets)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "rotation:simclr:digits",
            "dataset 'rotation' takes a data set with images, not a pretext",
        ),
        ("simclr:digitz", "unknown dataset 'digitz'; did you mean 'digits'?"),
        ("rotation", "dataset 'rotation' needs a parameter: rotation:SOURCE"),
    ],
)
def test_mistakes(reference: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        create(reference)
    assert str(caught.value).startswith(message)


def test_its_own_flip_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    clothes = create("fashion-mnist-mini").info()
    turned: Any = create("rotation:fashion-mnist-mini").info()

    assert clothes.horizontal_flip
    assert not turned.horizontal_flip
    assert turned.image_size == clothes.image_size
    assert turned.limit_train == 4 * 1200


def test_another_version_of_the_source_is_another_pretext(monkeypatch: pytest.MonkeyPatch) -> None:
    from sftbench.builtin.datasets.embedded import Digits

    assert create("rotation:digits").algorithm_version == 1
    monkeypatch.setattr(Digits, "algorithm_version", 2)
    assert create("rotation:digits").algorithm_version == 1002


def test_its_images_are_the_sources(folder: Path) -> None:
    made = create(f"rotation:arrays:{folder}")
    assert made.images_of().reference == f"arrays:{folder}"
    assert create("digits").images_of().reference == "digits"


def test_what_stays_together_in_the_source_stays_together(folder: Path) -> None:
    made: Any = create(f"rotation:arrays:{folder}")
    load = made.source.load

    def with_groups(split: Any, image_size: int) -> Any:
        examples = load(split, image_size)
        return replace(examples, groups=np.arange(len(examples.targets)) // 2)

    made.source.load = with_groups
    groups = made.load("train", 8).groups
    assert groups is not None
    assert groups.tolist() == [n // 8 for n in range(80)]
