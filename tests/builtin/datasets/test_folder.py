from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from sftbench.api import Split, UnavailableError
from sftbench.builtin.datasets import folder as folder_module
from sftbench.builtin.datasets.arrays import PathOptions
from sftbench.builtin.datasets.folder import Folder
from sftbench.testing import check_component

LAYOUT = "a folder with train/CLASS/IMAGE and test/CLASS/IMAGE (or val/CLASS/IMAGE), or CLASS/IMAGE"
SIZES = [(40, 20), (20, 41), (33, 33), (16, 16), (9, 30)]


def picture(file: Path, size: tuple[int, int] = (20, 20), seed: int = 0, mode: str = "RGB") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(("dog", "cat")):
        for number, size in enumerate(SIZES):
            picture(tmp_path / f"train/{name}/{number}.png", size, 10 * index + number)
        picture(tmp_path / f"test/{name}/a.png", (20, 30), 77 + index)
    return tmp_path


def dataset(folder: Path | str) -> Folder:
    return Folder(PathOptions(path=str(folder)))


def refusal(folder: Path | str) -> str:
    with pytest.raises(UnavailableError) as caught:
        dataset(folder).info()
    return str(caught.value)


def test_info_counts_files_without_opening_them(root: Path) -> None:
    (root / "train/cat/broken.jpg").write_bytes(b"no image")
    info = dataset(root).info()
    assert info.name == f"folder:{root}"
    assert info.class_names == ("cat", "dog")
    assert (info.num_train, info.num_test) == (11, 2)
    assert (info.horizontal_flip, info.image_size) == (False, None)
    assert info.source == f"image files in {root}; test/ is the test split"


def test_load_gives_sorted_classes_and_files(root: Path) -> None:
    train = dataset(root).load("train", 16)
    assert np.shape(train.inputs) == (10, 16, 16, 3)
    assert train.targets.tolist() == [0] * 5 + [1] * 5
    assert train.targets.dtype == np.int64
    assert dataset(root).load("test", 16).targets.tolist() == [0, 1]


@pytest.mark.parametrize("image_size", [8, 16, 25, 48])
def test_pixels_are_those_of_torchvision(root: Path, image_size: int) -> None:
    transform = Compose(
        [Resize(image_size, interpolation=InterpolationMode.BICUBIC), CenterCrop(image_size)]
    )
    files = sorted((root / "train").rglob("*.png"))
    expected = [np.asarray(transform(Image.open(file))) for file in files]
    found = dataset(root).load("train", image_size)
    np.testing.assert_array_equal(found.inputs, np.stack(expected))


def test_val_is_the_test_split_where_there_is_no_test(root: Path) -> None:
    (root / "test").rename(root / "val")
    info = dataset(root).info()
    assert info.source == f"image files in {root}; val/ is the test split"
    assert info.num_test == 2
    assert len(dataset(root).load("test", 16).inputs) == 2


def test_test_is_preferred_to_val(root: Path) -> None:
    for number in range(3):
        picture(root / f"val/cat/{number}.png")
    assert dataset(root).info().num_test == 2


def test_a_class_may_lack_test_images(root: Path) -> None:
    (root / "test/cat/a.png").unlink()
    assert dataset(root).load("test", 16).targets.tolist() == [1]
    (root / "test/cat").rmdir()
    assert dataset(root).load("test", 16).targets.tolist() == [1]


def test_hidden_files_and_other_suffixes_are_passed_over(root: Path) -> None:
    (root / "train/cat/._0.png").write_bytes(b"resource fork")
    (root / "train/cat/notes.txt").touch()
    (root / "train/readme.md").touch()
    picture(root / "train/cat/.ipynb_checkpoints/0-checkpoint.png")
    picture(root / "train/.cache/0.png")
    assert dataset(root).info().num_train == 10
    assert dataset(root).info().class_names == ("cat", "dog")


def test_suffixes_in_capitals_and_deeper_folders_count(root: Path) -> None:
    picture(root / "train/cat/PHOTO.JPG")
    picture(root / "train/cat/2024/may/b.webp")
    assert dataset(root).load("train", 8).targets.tolist() == [0] * 7 + [1] * 5


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P"])
def test_other_modes_become_rgb(root: Path, mode: str) -> None:
    file = picture(root / "train/cat/0.png", (16, 16), mode=mode)
    expected = np.asarray(Image.open(file).convert("RGB"))
    found = dataset(root).load("train", 16).inputs
    np.testing.assert_array_equal(np.asarray(found)[0], expected)


def test_a_palette_with_transparency_is_read_without_a_warning(root: Path) -> None:
    image = Image.new("P", (16, 16))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(root / "train/cat/0.png", transparency=b"\x00\x80")
    found = np.asarray(dataset(root).load("train", 16).inputs)
    assert found[0, 0, 0].tolist() == [10, 20, 30]


def test_notes_are_heard(root: Path) -> None:
    (root / "dataset.json").write_text('{"horizontal_flip": true, "licence": "CC0-1.0"}')
    info = dataset(root).info()
    assert (info.horizontal_flip, info.licence) == (True, "CC0-1.0")


def test_class_names_come_from_folders_alone(root: Path) -> None:
    (root / "dataset.json").write_text('{"class_names": ["a", "b"]}')
    assert refusal(root) == (
        f"{root}/dataset.json: unknown key 'class_names'; "
        "known: citation, horizontal_flip, licence, task"
    )


def test_a_missing_folder_is_told() -> None:
    assert refusal("no/such") == f"no/such: no such folder; expected {LAYOUT}"


def test_missing_splits_are_told(root: Path) -> None:
    (root / "test").rename(root / "held-out")
    assert refusal(root) == f"{root}/val: missing; expected {LAYOUT}"
    (root / "train").rename(root / "training")
    assert refusal(root) == f"{root}/train: missing; expected {LAYOUT}"


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    (tmp_path / "train").touch()
    assert refusal(tmp_path) == f"{tmp_path}: no image in it; expected {LAYOUT}"


def test_an_empty_class_is_told(root: Path) -> None:
    (root / "train/bird").mkdir()
    (root / "train/bird/notes.txt").touch()
    assert refusal(root) == (
        f"{root}/train/bird: no image in it "
        "(known suffixes: .bmp .gif .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp)"
    )


def test_one_class_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "train/cat/0.png")
    assert refusal(tmp_path) == (f"{tmp_path}/train: one class only ('cat'); at least 2 are needed")


def test_a_test_class_without_training_is_told(root: Path) -> None:
    picture(root / "test/bird/0.png")
    assert refusal(root) == f"{root}/test/bird: train/ has no such class"


def test_a_test_class_with_a_slip_is_told_the_nearest(root: Path) -> None:
    (root / "test/cat").rename(root / "test/cats")
    assert refusal(root) == (f"{root}/test/cats: train/ has no such class; did you mean 'cat'?")


@pytest.mark.parametrize("place", ["train/0.png", "test/0.png"])
def test_an_image_without_class_is_told(root: Path, place: str) -> None:
    picture(root / place)
    assert refusal(root) == (
        f"{root}/{place}: an image outside of a class folder has no label; expected {LAYOUT}"
    )


def test_a_class_whose_name_cannot_be_printed_is_told(root: Path) -> None:
    (root / "train/dog").rename(root / "train/d\x1bog")
    assert refusal(root) == (
        f"{root}/train/d\\x1bog: label 'd\\x1bog' has characters that cannot be printed"
    )


def test_links_in_a_circle_are_told(root: Path) -> None:
    (root / "train/cat/again").symlink_to(root / "train/cat")
    assert refusal(root) == (
        f"{root}/train/cat/again: a link to a folder that is listed already; remove it"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_told(root: Path) -> None:
    (root / "train/cat").chmod(0)
    try:
        assert refusal(root) == f"{root}/train/cat: Permission denied; expected {LAYOUT}"
    finally:
        (root / "train/cat").chmod(0o700)


def test_a_test_split_without_images_is_told(root: Path) -> None:
    for file in (root / "test").rglob("*.png"):
        file.unlink()
    assert refusal(root) == f"{root}/test: no image in it; expected {LAYOUT}"


def test_unreadable_images_are_left_out_and_told(root: Path) -> None:
    broken = root / "train/cat/0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    train = dataset(root).load("train", 16)
    assert train.unreadable == (f"{broken}: not a whole image",)
    assert train.targets.tolist() == [0] * 4 + [1] * 5
    assert len(train.inputs) == 9


@pytest.mark.parametrize("layout", ["splits", "classes", "broken"])
def test_its_contract_is_kept(root: Path, layout: str) -> None:
    (root / "train/cat/0.png").write_bytes(
        b"" if layout == "broken" else picture(root / "x/0.png").read_bytes()
    )

    class Sample(Folder):
        """With something to check."""

        example = str(root / "train" if layout == "classes" else root)

    findings = check_component("dataset", Sample)
    assert [str(finding) for finding in findings if finding.problem or finding.unchecked] == []


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for index, (name, count) in enumerate({"ant": 11, "bee": 2, "cow": 1}.items()):
        for number in range(count):
            picture(tmp_path / f"{name}/{number}.png", (16, 16), 20 * index + number)
    return tmp_path


def names_of(folder: Path, split: Split) -> list[str]:
    part = folder_module._list(folder).parts[split]
    return [file.relative_to(folder).as_posix() for file in part.files]


def test_classes_without_splits_are_split_and_it_is_said(classes: Path) -> None:
    info = dataset(classes).info()
    assert info.class_names == ("ant", "bee", "cow")
    assert (info.num_train, info.num_test) == (11, 3)
    assert info.source == (
        f"image files in {classes}; 20% of each class, at least one image of two, chosen by a "
        "hash of the names, are the test split"
    )
    assert dataset(classes).load("train", 16).targets.tolist() == [0] * 9 + [1, 2]
    assert dataset(classes).load("test", 16).targets.tolist() == [0, 0, 1]
    both = names_of(classes, "train") + names_of(classes, "test")
    assert len(set(both)) == 14


def test_the_split_depends_on_names_below_the_folder_alone(classes: Path, tmp_path: Path) -> None:
    before = names_of(classes, "test")
    # Stable: whoever changes it changes everybody's test split.
    assert before == ["ant/6.png", "ant/7.png", "bee/0.png"]
    moved = tmp_path.with_name("elsewhere")
    classes.rename(moved)
    picture(moved / "ant/9.png", (16, 16), 99)
    assert names_of(moved, "test") == before
    moved.rename(classes)


def test_single_images_cannot_be_split(tmp_path: Path) -> None:
    picture(tmp_path / "a/0.png")
    picture(tmp_path / "b/0.png")
    assert refusal(tmp_path) == (
        f"{tmp_path}: every class has one image, so none can be held out as test split; "
        f"expected {LAYOUT}"
    )


def test_one_folder_or_an_image_beside_classes_is_told(classes: Path, tmp_path: Path) -> None:
    picture(classes / "stray.png")
    assert refusal(classes).startswith(f"{classes}/stray.png: an image outside of a class folder")
    (classes / "stray.png").unlink()
    for name in ("bee", "cow"):
        (classes / name).rename(classes / f"ant/{name}")
    assert refusal(classes) == f"{classes}: one class only ('ant'); at least 2 are needed"


def test_a_folder_named_like_an_image_is_unreadable(root: Path) -> None:
    (root / "train/cat/zz.png").mkdir()
    assert dataset(root).load("train", 16).unreadable == (
        f"{root}/train/cat/zz.png: a folder, a pipe or a device, not a file",
    )


def test_the_cache_key_follows_the_files(root: Path) -> None:
    keys = {dataset(root).cache_key(split, 16) for split in ("train", "test")}
    keys.add(dataset(root).cache_key("train", 24))
    first = dataset(root).cache_key("train", 16)
    assert first in keys
    picture(root / "train/cat/0.png", (20, 20), 50)
    keys.add(dataset(root).cache_key("train", 16))
    os.utime(root / "train/cat/0.png", ns=(0, 1))  # as after a change that keeps the size
    keys.add(dataset(root).cache_key("train", 16))
    picture(root / "train/cat/new.png")
    keys.add(dataset(root).cache_key("train", 16))
    (root / "train/cat/new.png").rename(root / "train/dog/new.png")
    keys.add(dataset(root).cache_key("train", 16))
    (root / "train/dog/gone.png").symlink_to("nowhere")
    keys.add(dataset(root).cache_key("train", 16))
    assert len(keys) == 8
    assert dataset(root).cache_key("test", 16) in keys
