"""Published sets in their publishers' own form, made small; and what is said where they lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sftbench_detection.datasets import voc_files
from sftbench_detection.datasets.labelled import Listing, examples_of
from sftbench_detection.datasets.published import (
    Coco2017,
    PennFudanBoxes,
    PublishedBoxes,
    Voc2007,
    Voc2012,
)

from sftbench.api import UnavailableError

ALL: tuple[type[PublishedBoxes], ...] = (PennFudanBoxes, Voc2007, Voc2012, Coco2017)


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_without_the_data_one_line_says_how_to_get_it(cls: type[PublishedBoxes]) -> None:
    made = cls()
    assert made.where() is None
    with pytest.raises(UnavailableError, match=f"sftbench data fetch {cls.name}; or take over"):
        made.info()
    assert len(set(made.layout.class_names(Path()))) == cls.published.num_classes


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_what_is_not_the_data_is_not_taken_over(cls: type[PublishedBoxes], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(UnavailableError, match=f"is not {cls.name}; expected a folder with"):
        cls().import_from(tmp_path / "other")
    for mark in cls.layout.marks:  # the layout without its content
        place = tmp_path / "other" / mark
        if place.suffix:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("")
        else:
            place.mkdir(parents=True)
    with pytest.raises(UnavailableError) as caught:
        cls().import_from(tmp_path / "other")
    assert "\n" not in str(caught.value)
    assert cls().where() is None


def annotation(*objects: str, size: str = "<width>50</width><height>40</height>") -> str:
    return f"<annotation><size>{size}<depth>3</depth></size>{''.join(objects)}</annotation>"


def thing(
    name: str = "dog",
    box: tuple[object, object, object, object] = (1, 1, 20, 30),
    more: str = "<difficult>0</difficult>",
) -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>"
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def voc(folder: Path, texts: dict[str, str]) -> Path:
    """A devkit with an image and an annotation for each name."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for name, text in texts.items():
        Image.new("RGB", (50, 40), (9, 9, 9)).save(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("".join(f"{n}\n" for n in texts))
    return folder


def test_voc_counts_pixels_from_one_and_leaves_out_what_is_difficult(tmp_path: Path) -> None:
    hard = thing("cat", (11, 11, 50, 40), "<difficult>1</difficult>")
    text = annotation(thing("dog", (1, 1, 20.5, 30), ""), hard)
    [one] = voc_files.listed(voc(tmp_path / "kit", {"000001": text}), "train")
    assert one.problem == ""
    assert one.boxes.boxes.tolist() == [[0, 0, 20.5, 30], [10, 10, 40, 30]]
    assert [voc_files.CLASSES[label] for label in one.boxes.classes] == ["dog", "cat"]
    assert one.boxes.crowd.tolist() == [False, True]
    assert one.boxes.areas.tolist() == [615, 1200]
    examples = examples_of(Listing(voc_files.CLASSES, {"train": [one], "test": [one]}), "test", 100)
    assert np.asarray(examples.inputs).shape == (1, 100, 100, 3)
    assert examples.targets.tolist() == [voc_files.CLASSES.index("dog")]
    assert np.asarray(examples.class_counts).sum() == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<annotation>", "no element found"),
        (annotation(thing("wolf")), "object 1 is a 'wolf'"),
        (annotation(thing(box=(20, 1, 5, 30))), "object 1: its bbox has no area"),
        (annotation(thing(box=(1, 1, 90, 30))), "stands out of the image of 50 x 40"),
        (annotation(thing(box=("a", 1, 20, 30))), "could not convert string to float"),
        (annotation(thing(box=("nan", 1, 20, 30))), "is not four numbers"),
        (annotation("<object><name>dog</name></object>"), "bndbox/xmin is missing"),
        (annotation(thing(), size=""), "size/width is missing"),
        (annotation(thing(), size="<width>0</width><height>9</height>"), "its size is 0 x 9"),
        (
            '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>' + annotation(thing()),
            "has a document type",
        ),
        ("x" * ((1 << 20) + 1), "has 1048577 bytes; the largest allowed is 1048576"),
    ],
)
def test_malformed_annotations_are_refused_with_the_file_named(
    tmp_path: Path, text: str, why: str
) -> None:
    kit = voc(tmp_path / "kit", {"000001": annotation(thing()), "000002": text})
    good, bad = voc_files.listed(kit, "train")
    assert good.problem == ""
    assert bad.problem.startswith(f"{kit / 'Annotations' / '000002.xml'}: ")
    assert why in bad.problem
    listing = Listing(voc_files.CLASSES, {"train": [good, bad], "test": [good]})
    assert examples_of(listing, "train", 32).unreadable == (bad.problem,)


def test_a_list_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    kit = voc(tmp_path / "kit", {"000001": annotation(thing())})
    (kit / "ImageSets" / "Main" / "train.txt").write_text("../../secret\n")
    with pytest.raises(UnavailableError, match="names no image"):
        voc_files.listed(kit, "train")


def test_penn_fudan_has_boxes_of_its_masks(tmp_path: Path) -> None:
    place = tmp_path / "PennFudanPed"
    for part in ("PNGImages", "PedMasks"):
        (place / part).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((30, 60), dtype=np.uint8)
        mask[2:20, 5 + number : 15 + number] = 1
        mask[10:30, 40:50] = 2
        mask[10, 40] = 0
        Image.fromarray(mask).save(place / "PedMasks" / f"F{number}_mask.png")
        Image.new("RGB", (60, 30)).save(place / "PNGImages" / f"F{number}.png")
    parts = PennFudanBoxes.parts(tmp_path)
    assert {split: len(part) for split, part in parts.items()} == {"train": 8, "test": 2}
    for one in (*parts["train"], *parts["test"]):
        number = int(one.file.stem[1:])
        assert one.boxes.boxes.tolist() == [[5 + number, 2, 10, 18], [40, 10, 10, 20]]
        assert one.boxes.areas.tolist() == [180, 199]
    with pytest.raises(UnavailableError, match="8 examples in train, published are 136"):
        PennFudanBoxes().check(tmp_path)
