"""Data sets of masks: scenes, a person's folder, and the published forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sftbench_segmentation.datasets.folder import MaskFolder
from sftbench_segmentation.datasets.published import (
    OxfordPetsMasks,
    PennFudanMasks,
    PublishedMasks,
    VocSegmentation,
)
from sftbench_segmentation.masks import examples_of

from sftbench.api import Dataset, Published, UnavailableError
from sftbench.builtin.datasets.arrays import PathOptions
from sftbench.catalog import Catalog

NAMES = {"class_names": ["ground", "square", "disc"]}


def photograph(file: Path, size: tuple[int, int] = (20, 16)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(file)


def mask(file: Path, values: Any, *, palette: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, dtype=np.uint8))
    if palette:
        image = image.convert("L")
        image = Image.frombytes("P", image.size, image.tobytes())
        # Colours that differ from the indices: reading those would be wrong.
        image.putpalette([7 * n % 256 for n in range(768)])
    image.save(file)


def drawn(number: int = 1) -> NDArray[np.uint8]:
    values = np.zeros((16, 20), dtype=np.uint8)
    values[4:12, 2:10] = number
    return values


def folder(tmp_path: Path, num: int = 5, notes: object = NAMES) -> MaskFolder:
    for index in range(num):
        photograph(tmp_path / "images" / f"{index}.jpg")
        mask(tmp_path / "masks" / f"{index}.png", drawn(1 + index % 2))
    (tmp_path / "dataset.json").write_text(json.dumps(notes))
    return MaskFolder(PathOptions(path=str(tmp_path)))


# ---- what follows from masks ---------------------------------------------------------------


def test_the_target_is_the_largest_class_that_is_not_the_background() -> None:
    masks = np.zeros((3, 4, 4), dtype=np.uint8)
    masks[0, 0, :2], masks[0, 1, :3] = 1, 2
    masks[2] = 255
    found = examples_of(np.zeros((3, 4, 4, 3), dtype=np.uint8), masks, 3)
    assert found.targets.tolist() == [2, 0, 0]
    assert found.class_counts is not None
    assert found.class_counts.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]


# ---- scenes --------------------------------------------------------------------------------


def test_scenes_have_images_masks_and_every_class(catalog: Catalog) -> None:
    made: Any = catalog.create("dataset", "scene-masks")
    found = made.load("test", 96)
    assert found.inputs.shape == (200, 96, 96, 3)
    assert found.truth.shape == (200, 96, 96)
    assert sorted(np.unique(found.truth)) == list(range(11))
    assert made.info().class_names[:2] == ("background", "T-shirt/top")
    assert not np.array_equal(made.load("train", 96).inputs[:200], found.inputs)


# ---- a folder ------------------------------------------------------------------------------


def test_a_folder_holds_out_a_fifth(tmp_path: Path) -> None:
    made = folder(tmp_path)
    info = made.info()
    assert (info.task, info.num_train, info.num_test) == ("segmentation", 4, 1)
    assert info.class_names == ("ground", "square", "disc")
    train, test = made.load("train", 16), made.load("test", 16)
    assert (len(train.inputs), len(test.inputs)) == (4, 1)
    assert train.inputs.shape == (4, 16, 16, 3)
    assert isinstance(train.truth, np.ndarray)
    # 20 x 16 is cropped by two columns on each side.
    np.testing.assert_array_equal(train.truth[0] > 0, drawn()[:, 2:18] > 0)


def test_a_folder_with_splits(tmp_path: Path) -> None:
    folder(tmp_path / "train", 3)
    folder(tmp_path / "val", 2)
    (tmp_path / "dataset.json").write_text(json.dumps(NAMES))
    info = MaskFolder(PathOptions(path=str(tmp_path))).info()
    assert (info.num_train, info.num_test) == (3, 2)
    assert info.source.endswith("val/ is the test split")


def test_a_mask_with_a_palette_gives_its_indices(tmp_path: Path) -> None:
    made = folder(tmp_path)
    for index in range(5):
        mask(tmp_path / "masks" / f"{index}.png", drawn(2), palette=True)
    assert set(np.unique(made.load("train", 16).truth)) == {0, 2}  # type: ignore[arg-type]


def test_ignored_pixels_stay_ignored(tmp_path: Path) -> None:
    made = folder(tmp_path)
    for index in range(5):
        mask(tmp_path / "masks" / f"{index}.png", drawn(255))
    found = made.load("train", 16)
    assert set(np.unique(found.truth)) == {0, 255}  # type: ignore[arg-type]
    assert found.targets.tolist() == [0] * 4


def test_the_cache_key_follows_the_masks(tmp_path: Path) -> None:
    made = folder(tmp_path)
    keys = {made.cache_key("train", 16), made.cache_key("train", 24)}
    for index in range(5):
        mask(tmp_path / "masks" / f"{index}.png", np.zeros((16, 20)))
    keys.add(made.cache_key("train", 16))
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (drawn(3), "class 3; the classes are 0 to 2, and 255 is ignored"),
        (np.zeros((9, 20)), "20 x 9 pixels; its image {}.jpg has 20 x 16"),
        (np.zeros((16, 20, 3)), "a mask of mode RGB; expected one number of 8 bits a pixel"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path: Path, values: Any, told: str) -> None:
    made = folder(tmp_path)
    for index in range(5):
        mask(tmp_path / "masks" / f"{index}.png", values)
    found = made.load("test", 16)
    assert len(found.inputs) == 0
    [line] = found.unreadable
    file, _, why = line.partition(": ")
    assert Path(file).parent == tmp_path / "masks"
    assert why == told.format(Path(file).stem)


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    made = folder(tmp_path)
    file = tmp_path / "masks" / "0.png"
    file.write_bytes(file.read_bytes()[:60])
    lines = made.load("train", 16).unreadable + made.load("test", 16).unreadable
    assert lines == (f"{file}: not a whole image",)


def broken(tmp_path: Path, how: str) -> MaskFolder:
    made = folder(tmp_path)
    if how == "no mask":
        (tmp_path / "masks" / "2.png").unlink()
    if how == "no image":
        (tmp_path / "images" / "2.jpg").unlink()
    if how == "jpeg":
        (tmp_path / "masks" / "2.png").rename(tmp_path / "masks" / "2.jpg")
    if how == "twice":
        photograph(tmp_path / "images" / "2.png")
    if how == "empty":
        for file in (tmp_path / "masks").iterdir():
            file.unlink()
    if how == "no folder":
        (tmp_path / "images").rename(tmp_path / "pictures")
    return made


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("no mask", "{}/images/2.jpg: no mask; expected masks/2.png"),
        ("no image", "{}/masks/2.png: a mask without an image"),
        ("jpeg", "{}/masks/2.jpg: a mask that may have lost numbers; save it as .png"),
        ("twice", "{}/images/2.png: 2.jpg has its name too"),
        ("empty", "{}/masks: no image in it (known suffixes: .bmp "),
        ("no folder", "{}/images: No such file or directory; expected images/NAME.jpg with "),
    ],
)
def test_a_folder_that_is_not_as_it_should_be(tmp_path: Path, how: str, told: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        broken(tmp_path, how).info()
    assert str(caught.value).startswith(told.format(tmp_path))


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        ({}, "dataset.json: class_names is missing: name the classes in the order of the masks'"),
        ({"class_names": ["a", "a"]}, "dataset.json: class_names are not 2 to 255 different names"),
    ],
)
def test_a_folder_needs_class_names(tmp_path: Path, notes: object, told: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        folder(tmp_path, notes=notes).info()
    assert str(caught.value).startswith(f"{tmp_path}/{told}")


# ---- published forms -----------------------------------------------------------------------


def small(cls: type[PublishedMasks], num_train: int, num_test: int) -> type[PublishedMasks]:
    """Return the data set with other numbers of examples: its form, in a few files."""
    facts = cls.published
    published = Published(
        num_classes=facts.num_classes,
        num_train=num_train,
        num_test=num_test,
        images=facts.images,
        licence=facts.licence,
        citation=facts.citation,
        homepage=facts.homepage,
    )
    return type(cls.__name__, (cls,), {"published": published})


def voc(root: Path) -> None:
    base = root / "VOCdevkit" / "VOC2012"
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in (("train", ["2007_1", "2007_2"]), ("val", ["2007_3"])):
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            photograph(base / "JPEGImages" / f"{name}.jpg")
            values = drawn(15)
            values[4, 2:10] = 255
            mask(base / "SegmentationClass" / f"{name}.png", values, palette=True)


def penn(root: Path) -> None:
    for index in range(5):
        photograph(root / "PennFudanPed" / "PNGImages" / f"FudanPed0000{index}.png")
        values = drawn(1) + 2 * drawn(1)[:, ::-1]
        mask(root / "PennFudanPed" / "PedMasks" / f"FudanPed0000{index}_mask.png", values)


def pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for split, names in (("trainval", ["Abyssinian_1", "beagle_2"]), ("test", ["pug_3"])):
        lines = "".join(f"{name} 1 1 1\n" for name in names)
        (base / "annotations" / f"{split}.txt").write_text(lines)
        for name in names:
            photograph(base / "images" / f"{name}.jpg")
            values = np.full((16, 20), 2, dtype=np.uint8)
            values[4:12, 2:10] = 3
            values[5:11, 3:9] = 1
            mask(base / "annotations" / "trimaps" / f"{name}.png", values)


FORMS = [
    (VocSegmentation, voc, (2, 1), {0, 15, 255}, 15),
    (PennFudanMasks, penn, (4, 1), {0, 1}, 1),
    (OxfordPetsMasks, pets, (2, 1), {0, 1, 255}, 1),
]


@pytest.mark.parametrize(("cls", "write", "sizes", "values", "target"), FORMS)
def test_a_published_form_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cls: type[PublishedMasks],
    write: Any,
    sizes: tuple[int, int],
    values: set[int],
    target: int,
) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))
    write(tmp_path / cls.name)
    made: Dataset = small(cls, *sizes)()
    info = made.info()
    assert info.task == "segmentation"
    assert info.num_classes == cls.published.num_classes
    for split, size in zip(("train", "test"), sizes, strict=True):
        found = made.load(split, 16)  # type: ignore[arg-type]
        assert (len(found.inputs), found.unreadable) == (size, ())
        assert set(np.unique(found.truth)) == values  # type: ignore[arg-type]
        assert set(found.targets.tolist()) == {target}
    assert made.cache_key("train", 16) != made.cache_key("test", 16)


@pytest.mark.parametrize(("cls", "write", "sizes"), [form[:3] for form in FORMS])
def test_a_published_form_is_imported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cls: type[PublishedMasks],
    write: Any,
    sizes: tuple[int, int],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SFTBENCH_DATA", raising=False)
    write(tmp_path / "mine")
    made = small(cls, *sizes)()
    made.import_from(tmp_path / "mine")
    assert made.where() == str(tmp_path / "cache" / "data" / cls.name)
    assert len(made.load("train", 16).inputs) == sizes[0]


def test_an_import_that_lacks_a_mask_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    voc(tmp_path / "mine")
    (tmp_path / "mine/VOCdevkit/VOC2012/SegmentationClass/2007_2.png").unlink()
    with pytest.raises(UnavailableError, match=r"2007_2\.png: missing, of 1 masks"):
        small(VocSegmentation, 2, 1)().import_from(tmp_path / "mine")


def test_a_list_that_climbs_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))
    voc(tmp_path)
    lists = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt"
    lists.write_text("../../secret\n2007_2\n")
    with pytest.raises(UnavailableError, match=r"names an image '\.\./\.\./secret'"):
        small(VocSegmentation, 2, 1)().load("train", 16)


def test_a_trimap_with_another_number_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))
    pets(tmp_path)
    file = tmp_path / "oxford-iiit-pet/annotations/trimaps/pug_3.png"
    mask(file, drawn(7))
    found = small(OxfordPetsMasks, 2, 1)().load("test", 16)
    assert found.unreadable == (f"{file}: numbers 0 to 7; a trimap has 1 to 3",)


def test_a_trimap_is_pet_background_and_a_border_that_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))
    pets(tmp_path)
    truth = small(OxfordPetsMasks, 2, 1)().load("test", 16).truth
    assert truth is not None
    # Columns 2 to 17 of the file are kept.
    assert (truth[0][8, 4], truth[0][4, 4], truth[0][0, 15]) == (1, 255, 0)


def test_pets_are_found_where_the_labelled_set_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))
    pets(tmp_path / "oxford-pets")
    assert small(OxfordPetsMasks, 2, 1)().where() == str(tmp_path / "oxford-pets")


@pytest.mark.parametrize("cls", [VocSegmentation, PennFudanMasks, OxfordPetsMasks])
def test_data_that_is_not_here_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: type[PublishedMasks]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path / "none"))
    with pytest.raises(UnavailableError) as caught:
        cls().info()
    assert f"sftbench data fetch {cls.name}" in str(caught.value)
    assert f"sftbench data import {cls.name} PATH" in str(caught.value)
