from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sftbench.api import RequestError, UnavailableError
from sftbench.builtin.datasets.arrays import Arrays, PathOptions
from sftbench.options import validate

FILES = "train_images.npy, train_labels.npy, test_images.npy, test_labels.npy"
GAP = "train_labels.npy: labels must be 0 to C - 1 and every class needs an image;"


def write(folder: Path, **changes: Any) -> Path:
    """Write a valid set of 6 + 4 images of 3 classes, with other arrays where told."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
        "train_labels": np.array([0, 1, 2, 2, 1, 0], dtype=np.uint8),
        "test_images": rng.integers(0, 256, (4, 5, 4, 3), dtype=np.uint8),
        "test_labels": np.array([2, 0, 0, 1]),
    }
    for name, array in (arrays | changes).items():
        np.save(folder / f"{name}.npy", array)
    return folder


def dataset(folder: Path | str) -> Arrays:
    return Arrays(PathOptions(path=str(folder)))


def refusal(folder: Path | str) -> str:
    with pytest.raises(UnavailableError) as caught:
        dataset(folder).info()
    with pytest.raises(UnavailableError) as at_load:
        dataset(folder).load("train", 32)
    assert str(at_load.value) == str(caught.value)
    return str(caught.value)


def test_info_tells_what_the_files_hold(tmp_path: Path) -> None:
    info = dataset(write(tmp_path)).info()
    assert info.name == f"arrays:{tmp_path}"
    assert info.class_names == ("0", "1", "2")
    assert (info.num_train, info.num_test) == (6, 4)
    assert info.task == "image-classification"
    assert info.horizontal_flip is False
    assert (info.image_size, info.limit_train, info.limit_test) == (None, None, None)
    assert (info.licence, info.citation) == ("unknown", "")
    assert info.source == f"arrays in {tmp_path}"


def test_load_maps_images_and_copies_labels(tmp_path: Path) -> None:
    write(tmp_path)
    for split in ("train", "test"):
        examples = dataset(tmp_path).load(split, 32)
        assert isinstance(examples.inputs, np.memmap)
        assert not examples.inputs.flags.writeable
        images = np.load(tmp_path / f"{split}_images.npy")
        np.testing.assert_array_equal(examples.inputs, images)
        labels = np.load(tmp_path / f"{split}_labels.npy")
        assert examples.targets.dtype == np.int64
        assert examples.targets.tolist() == labels.tolist()
        assert not isinstance(examples.targets, np.memmap)


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 4, 1)])
def test_grey_images_get_one_channel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.arange(120, dtype=np.uint8).reshape(shape)
    examples = dataset(write(tmp_path, train_images=images)).load("train", 32)
    np.testing.assert_array_equal(examples.inputs, images.reshape(6, 5, 4, 1))


def test_a_relative_path_stays_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert dataset("mine").info().name == "arrays:mine"
    assert dataset("mine").reference == "arrays:mine"


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert dataset(f"~/{tmp_path.name}").info().name == f"arrays:~/{tmp_path.name}"


def test_notes_beside_the_arrays_are_heard(tmp_path: Path) -> None:
    write(tmp_path)
    notes = {
        "class_names": ["cat", "dog", "owl"],
        "horizontal_flip": True,
        "licence": "CC0-1.0",
        "citation": "Me 2024",
        "task": "another-task",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(notes))
    info = dataset(tmp_path).info()
    assert info.class_names == ("cat", "dog", "owl")
    assert info.horizontal_flip is True
    assert (info.licence, info.citation, info.task) == ("CC0-1.0", "Me 2024", "another-task")


@pytest.mark.parametrize("name", FILES.split(", "))
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    assert refusal(tmp_path) == f"{tmp_path / name}: missing; the folder must hold {FILES}"


@pytest.mark.parametrize("path", ["nowhere/at/all", "~nobody-of-this-name/x", "x" * 5000])
def test_a_missing_folder_is_told(path: str) -> None:
    assert refusal(path) == f"{path}: no such folder; expected a folder of {FILES}"


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    file.touch()
    assert refusal(file) == f"{file}: no such folder; expected a folder of {FILES}"


class _Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_pickled_objects_are_refused_and_not_run(tmp_path: Path, name: str) -> None:
    sentinel = tmp_path / "ran"
    write(tmp_path, **{name: np.array([_Bomb(sentinel)], dtype=object)})
    assert refusal(tmp_path) == (
        f"{tmp_path / name}.npy: not a whole .npy file of plain numbers "
        "(pickled objects are never read)"
    )
    assert not sentinel.exists()
    np.load(tmp_path / f"{name}.npy", allow_pickle=True)
    assert sentinel.exists(), "the test's own bomb does not work"


@pytest.mark.parametrize("keep", [0, 5, 60, 200])
def test_a_cut_file_is_refused(tmp_path: Path, keep: int) -> None:
    file = write(tmp_path) / "train_images.npy"
    file.write_bytes(file.read_bytes()[:keep])
    assert refusal(tmp_path) == (
        f"{file}: not a whole .npy file of plain numbers (pickled objects are never read)"
    )


def test_another_format_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path) / "test_images.npy"
    with file.open("wb") as stream:
        np.savez(stream, np.zeros(3))
    assert refusal(tmp_path).startswith(f"{file}: not a whole .npy file of plain numbers")


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path) / "test_images.npy"
    file.write_bytes(file.read_bytes().replace(b"{'descr'", b"((('descr"))
    assert refusal(tmp_path).startswith(f"{file}: not a whole .npy file of plain numbers")


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((6, 5, 4, 3), dtype=np.float32), "float32 [6, 5, 4, 3]"),
        (np.zeros((6, 3, 5, 4), dtype=np.uint8), "uint8 [6, 3, 5, 4]"),
        (np.zeros((6, 20), dtype=np.uint8), "uint8 [6, 20]"),
        (np.zeros((6, 0, 4, 3), dtype=np.uint8), "uint8 [6, 0, 4, 3]"),
        (np.zeros((6, 5, 4), dtype=np.int8), "int8 [6, 5, 4]"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_images_of_another_form_are_refused(
    tmp_path: Path, images: np.ndarray[Any, Any], found: str, split: str
) -> None:
    write(tmp_path, **{f"{split}_images": images})
    assert refusal(tmp_path) == (
        f"{tmp_path}/{split}_images.npy: {found}; expected uint8 [N, H, W] or [N, H, W, 1 or 3]"
    )


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.zeros(6), "float64 [6]"),
        (np.zeros((6, 3), dtype=np.int64), "int64 [6, 3]"),
        (np.zeros(6, dtype=bool), "bool [6]"),
        (np.array(["a"] * 6), "<U1 [6]"),
    ],
)
def test_labels_of_another_form_are_refused(
    tmp_path: Path, labels: np.ndarray[Any, Any], found: str
) -> None:
    write(tmp_path, train_labels=labels)
    assert refusal(tmp_path) == f"{tmp_path}/train_labels.npy: {found}; expected integers [N]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_labels": np.array([0, 1, 2])},
            "train_labels.npy: 3 labels for 6 images of train_images.npy",
        ),
        (
            {
                "test_images": np.zeros((0, 5, 4), dtype=np.uint8),
                "test_labels": np.zeros(0, dtype=np.int64),
            },
            "test_images.npy: no image in it",
        ),
        (
            {"train_labels": np.array([0, 1, 3, 3, 1, 0])},
            f"{GAP} 2 is missing, 3 is there",
        ),
        (
            {"train_labels": np.array([1, 2, 3, 3, 1, 1])},
            f"{GAP} 0 is missing, 1 is there",
        ),
        (
            {"train_labels": np.array([0, -1, 1, 2, 1, 0])},
            f"{GAP} 0 is missing, -1 is there",
        ),
        (
            {"train_labels": np.array([0, 1, 2, 2, 1, 10**15])},
            f"{GAP} 3 is missing, 1000000000000000 is there",
        ),
        (
            {"train_labels": np.zeros(6, dtype=np.int64), "test_labels": np.zeros(4, np.int64)},
            "train_labels.npy: one class only; at least 2 are needed",
        ),
        (
            {"test_labels": np.array([0, 1, 2, 3])},
            "test_labels.npy: label 3 has no training image; the classes are 0 to 2",
        ),
        (
            {"test_labels": np.array([0, 1, 2, -1])},
            "test_labels.npy: label -1 has no training image; the classes are 0 to 2",
        ),
    ],
)
def test_labels_out_of_range_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert refusal(write(tmp_path, **changes)) == f"{tmp_path}/{message}"


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ('{"class_names": ["a", "b"]}', "class_names has 2 different names for 3 classes"),
        ('{"class_names": ["a", "b", "b"]}', "class_names has 2 different names for 3 classes"),
        ('{"class_names": []}', "class_names has 0 different names for 3 classes"),
        (
            '{"flip": true}',
            "unknown key 'flip'; known: citation, class_names, horizontal_flip, licence, task",
        ),
        (
            '{"class_names": ["a", "", "c"]}',
            "class_names.1: String should have at least 1 character",
        ),
        (
            '{"horizontal_flip": "maybe"}',
            "horizontal_flip: Input should be a valid boolean, unable to interpret input",
        ),
        ("[]", "Input should be an object"),
    ],
)
def test_wrong_notes_are_refused(tmp_path: Path, notes: str, message: str) -> None:
    write(tmp_path)
    file = tmp_path / "dataset.json"
    file.write_text(notes)
    with pytest.raises(UnavailableError) as caught:
        dataset(tmp_path).info()
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "Invalid JSON: EOF while parsing"),
        (b"\xff\xfe", "Invalid JSON: "),
        (b'{"licence": "a\\u001b[31m"}', "licence: String should match pattern"),
    ],
)
def test_notes_that_cannot_be_read_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    write(tmp_path)
    file = tmp_path / "dataset.json"
    file.write_bytes(content)
    with pytest.raises(UnavailableError) as caught:
        dataset(tmp_path).info()
    assert str(caught.value).startswith(f"{file}: {message}")


def test_long_notes_are_not_read(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "dataset.json"
    file.write_text('{"licence": "MIT"}' + " " * (1 << 20))
    with pytest.raises(UnavailableError) as caught:
        dataset(tmp_path).info()
    assert str(caught.value) == f"{file}: longer than 1 MiB"


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        validate(PathOptions, {"path": ""}, "dataset 'arrays:'")
    assert str(caught.value) == (
        "dataset 'arrays:': path = '': string should have at least 1 character"
    )


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "dataset.json"])
def test_a_named_pipe_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(UnavailableError) as caught:
        dataset(tmp_path).info()
    assert str(caught.value) == f"{tmp_path}/{name}: not a file"
