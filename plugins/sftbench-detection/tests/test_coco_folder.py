"""Instances files of somebody else: three layouts, and what is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sftbench_detection.datasets.folder import CocoFolder
from sftbench_detection.datasets.instances import read_instances

from sftbench.api import Dataset, UnavailableError
from sftbench.data.loading import load_split

Content = dict[str, Any]


def content_of(num: int = 3, first: int = 0, size: tuple[int, int] = (40, 20)) -> Content:
    """Images of 40 x 20 pixels, each with an object of class 1 + i % 2 and category ids 3 and 7."""
    width, height = size
    return {
        "images": [
            {"id": 10 + n, "file_name": f"{n}.png", "width": width, "height": height}
            for n in range(first, first + num)
        ],
        "annotations": [
            {
                "id": 100 + n,
                "image_id": 10 + n,
                "category_id": (3, 7)[n % 2],
                "bbox": [4.0 + n, 2, 10, 6.5],
                "area": 50,
                "iscrowd": 0,
            }
            for n in range(first, first + num)
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def paint(folder: Path, content: Content) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in content["images"]:
        size = one["width"], one["height"]
        Image.new("RGB", size, (200, 30, 30)).save(folder / one["file_name"])


def dataset(folder: Path) -> Dataset:
    return CocoFolder(CocoFolder.options_model.model_validate({"path": str(folder)}))


def test_cocos_own_layout(tmp_path: Path) -> None:
    train, test = content_of(4), content_of(2, first=4)
    write(tmp_path / "annotations" / "instances_train2017.json", train)
    write(tmp_path / "annotations" / "instances_val2017.json", test)
    paint(tmp_path / "train2017", train)
    paint(tmp_path / "val2017", test)
    made = dataset(tmp_path)
    info = made.info()
    assert (info.class_names, info.num_train, info.num_test) == (("cat", "dog"), 4, 2)
    assert (info.task, info.image_size) == ("detection", 320)
    assert "instances_val2017.json is the test split" in info.source
    examples = made.load("train", 80)
    images, truth = np.asarray(examples.inputs), np.asarray(examples.truth)
    # 40 x 20 pixels become 80 x 40 at the top of the square; the rest is grey.
    assert images.shape == (4, 80, 80, 3)
    assert images[0, 39, 79].tolist() == [200, 30, 30]
    assert images[0, 40, 0].tolist() == [114, 114, 114]
    assert truth[1, 0].tolist() == [2, 2.0, 40, 20, 1, 0, 0]
    assert truth[1, 1].tolist() == [1, 10, 4, 20, 13, 50, 0]
    assert np.asarray(examples.class_counts).tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert examples.targets.tolist() == [0, 1, 0, 1]


def test_an_exports_layout(tmp_path: Path) -> None:
    for name, content in (("train", content_of(3)), ("valid", content_of(2, first=3))):
        write(tmp_path / name / "_annotations.coco.json", content)
        paint(tmp_path / name, content)
    made = dataset(tmp_path)
    assert (made.info().num_train, made.info().num_test) == (3, 2)
    assert len(made.load("test", 32).inputs) == 2


def test_one_file_is_split_by_names_wherever_it_lies(tmp_path: Path) -> None:
    parts = []
    for place in ("here", "there"):
        folder, content = tmp_path / place, content_of(10)
        write(folder / "instances.json", content)
        paint(folder / "images", content)
        made = dataset(folder)
        assert (made.info().num_train, made.info().num_test) == (8, 2)
        assert "a fifth" in made.info().source
        parts.append(np.asarray(made.load("test", 32).truth).tolist())
    assert parts[0] == parts[1]


def one_folder(tmp_path: Path, content: Content) -> Dataset:
    write(tmp_path / "instances.json", content)
    paint(tmp_path, content_of(10))
    return dataset(tmp_path)


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([5, 2, 0, 6], "its bbox has no area"),
        ([5, 2, 6, -1], "its bbox has no area"),
        ([5, 2, 60, 6], r"bbox \[5, 2, 60, 6\] stands out of the image of 40 x 20"),
        ([-9, 2, 6, 6], "stands out of the image of 40 x 20"),
        ([50, 2, 0.5, 6], "stands out of the image"),
        ([5, 2, 6], "is not four numbers: x, y, width, height"),
        ([5, 2, 6, "6"], "is not four numbers"),
        ([5, 2, 6, True], "is not four numbers"),
        ([5, 2, 6, 1e400], "is not four numbers"),
        ([5, 2, 6, 10**400], "is not four numbers"),
        (None, "bbox None is not four numbers"),
        ({"x": 5}, "is not four numbers"),
    ],
)
def test_a_malformed_box_is_refused_with_file_and_annotation(
    tmp_path: Path, box: object, why: str
) -> None:
    content = content_of(10)
    content["annotations"][3]["bbox"] = box
    text = json.dumps(content).replace("Infinity", "1e400")
    write(tmp_path / "instances.json", text)
    paint(tmp_path, content_of(10))
    made = dataset(tmp_path)
    lines = [line for split in ("train", "test") for line in made.load(split, 32).unreadable]
    assert len(lines) == 1
    assert lines[0].startswith(f"{tmp_path / 'instances.json'}: annotation 103 of '3.png': ")
    assert made.info().num_train + made.info().num_test == 10
    split = "train" if made.load("train", 32).unreadable else "test"
    with pytest.raises(UnavailableError, match=why):
        load_split(made, split, 32, skip_unreadable=False)
    kept = load_split(made, split, 32, skip_unreadable=True)
    assert len(kept.inputs) == len(kept.targets) == len(np.asarray(kept.truth)) > 0


def test_boxes_beyond_the_border_by_rounding_are_cut(tmp_path: Path) -> None:
    content = content_of(10)
    content["annotations"][0]["bbox"] = [-0.5, -0.5, 41, 21]
    made = one_folder(tmp_path, content)
    boxes = [np.asarray(made.load(split, 40).truth)[:, 1, 1:5] for split in ("train", "test")]
    assert [0, 0, 40, 20] in np.concatenate(boxes).tolist()


def test_boxes_without_an_area_can_be_left_out(tmp_path: Path) -> None:
    content = content_of(2)
    content["annotations"][0]["bbox"] = [5, 5, 0, 0]
    write(tmp_path / "i.json", content)
    found = read_instances(tmp_path / "i.json", tmp_path.joinpath, lenient=True)
    assert [(len(one.boxes.classes), one.problem) for one in found.images] == [(0, ""), (1, "")]


def without(key: str) -> Content:
    return {name: value for name, value in content_of(10).items() if name != key}


def changed(part: str, **values: object) -> Content:
    content = content_of(10)
    content[part][0] = {**content[part][0], **values}
    return content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON: nested too deep"),
        ("[1]", "not an object with images, annotations and categories"),
        ('{"images": [], "annotations": [], "categories": NaN}', "NaN is no number"),
        (without("images"), "images is None, not a list"),
        (without("annotations"), "annotations is None, not a list"),
        ({**content_of(10), "categories": []}, "no category"),
        ({**content_of(10), "annotations": [5]}, "an annotation is 5, not an object"),
        ({**content_of(10), "images": ["a"]}, "image 'a' needs an id and a file_name"),
        (changed("images", id="ten"), "needs an id and a file_name"),
        (changed("images", id=11), "two images of id 11"),
        (changed("images", width=0), "image '0.png' is 0 x 20 pixels"),
        (changed("images", height=2.5), "image '0.png' is 40 x 2.5 pixels"),
        (changed("annotations", image_id=99), "annotation 100: no image has id 99"),
        (changed("annotations", image_id=[]), r"annotation 100: no image has id \[\]"),
        (changed("annotations", category_id=1), "annotation 100: no category has id 1"),
        (changed("categories", name=""), "category 7: an empty label"),
        (changed("categories", name="cat"), "two categories of one name"),
        (changed("categories", name="a\x1b[31m"), "cannot be printed"),
        (changed("categories", id=3), "needs an id of its own and a name"),
        (changed("images", file_name="../0.png"), "leads out of the images' folder"),
        (changed("images", file_name="/etc/passwd"), "leads out of the images' folder"),
        (changed("images", file_name="a\x00b"), "leads out of the images' folder"),
    ],
)
def test_files_of_another_form_are_refused_in_one_line(
    tmp_path: Path, content: Any, why: str
) -> None:
    write(tmp_path / "instances.json", content)
    with pytest.raises(UnavailableError, match=why) as caught:
        dataset(tmp_path).info()
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert "\n" not in message
    assert "\x1b" not in message


def test_areas_that_are_none_and_crowds(tmp_path: Path) -> None:
    content = content_of(3)
    content["annotations"][0]["area"] = -1
    content["annotations"][1]["iscrowd"] = 1
    del content["annotations"][2]["area"]
    write(tmp_path / "i.json", content)
    first, second, third = read_instances(tmp_path / "i.json", tmp_path.joinpath).images
    assert first.problem.endswith("annotation 100 of '0.png': area -1")
    assert second.boxes.crowd.tolist() == [True]
    assert third.boxes.areas.tolist() == [65.0]


def test_images_that_are_not_as_their_annotations_say(tmp_path: Path) -> None:
    content = content_of(10)
    made = one_folder(tmp_path, content)
    Image.new("RGB", (20, 40)).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    (tmp_path / "2.png").unlink()
    lines = sorted(line for split in ("train", "test") for line in made.load(split, 32).unreadable)
    assert lines[0].endswith("0.png: 20 x 40 pixels, its annotations say 40 x 20")
    assert "1.png: no image of a known format" in lines[1]
    assert lines[2].endswith("2.png: no such file or directory")


def test_too_many_objects_in_one_image(tmp_path: Path) -> None:
    content = content_of(1)
    content["annotations"] = [{**content["annotations"][0], "id": n} for n in range(301)]
    write(tmp_path / "i.json", content)
    [one] = read_instances(tmp_path / "i.json", tmp_path.joinpath).images
    assert one.problem.endswith("i.json: 301 objects in one image; 300 is the most")


def test_folders_that_are_not_clear_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"no instances; expected annotations/instances_tr"):
        dataset(tmp_path).info()
    with pytest.raises(UnavailableError, match="no such folder"):
        dataset(tmp_path / "nowhere").info()
    for name in ("train", "train2", "val"):
        write(tmp_path / "annotations" / f"instances_{name}.json", content_of(2))
    with pytest.raises(UnavailableError, match="which are the two splits"):
        dataset(tmp_path).info()
    (tmp_path / "annotations" / "instances_train2.json").unlink()
    other = content_of(2)
    other["categories"][0]["name"] = "wolf"
    write(tmp_path / "annotations" / "instances_val.json", other)
    with pytest.raises(UnavailableError, match="its categories are not those of instances_train"):
        dataset(tmp_path).info()


def test_the_cache_key_follows_images_and_boxes(tmp_path: Path) -> None:
    made = one_folder(tmp_path, content_of(10))
    keys = [made.cache_key("train", 32), made.cache_key("train", 64), made.cache_key("test", 32)]
    Image.new("RGB", (40, 20), (1, 2, 3)).save(tmp_path / "0.png")
    keys += [made.cache_key(split, 32) for split in ("train", "test")]
    assert len(set(keys)) == 4  # image 0 is in one of the splits
    content = content_of(10)
    content["annotations"][0]["bbox"] = [1, 1, 3, 3]
    write(tmp_path / "instances.json", content)
    keys += [made.cache_key(split, 32) for split in ("train", "test")]
    assert len(set(keys)) == 6
