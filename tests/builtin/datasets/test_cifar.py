from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torchvision.datasets import CIFAR10

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.cifar import BATCHES, Cifar10, read_batches


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start where no data is: in an empty folder, with an empty home."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SFTBENCH_DATA", raising=False)
    monkeypatch.delenv("SFTBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "here")


def python2_batch(pixels: NDArray[np.uint8], labels: list[int]) -> bytes:
    """Pickle as Python 2 did for the published files: protocol 0, byte strings, align 0."""
    raw = repr(pixels.tobytes())[1:].encode()
    listed = b"".join(b"I%d\na" % label for label in labels)
    return (
        b"(dp0\nS'data'\np1\ncnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I%d\nI%d\nt"
        % pixels.shape
        + b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS"
        + raw
        + b"\ntbsS'labels'\n(l"
        + listed
        + b"s."
    )


def write_batch(folder: Path, name: str, seed: int, labels: list[int]) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(python2_batch(pixels, labels))
    return pixels


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def write_arrays(folder: Path, num_train: int = 50_000, num_classes: int = 10) -> None:
    """Write blank arrays of CIFAR-10's size; their pages are holes, so this takes no disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, num in (("train", num_train), ("test", 10_000)):
        np.lib.format.open_memmap(
            folder / f"{split}_images.npy", mode="w+", dtype=np.uint8, shape=(num, 32, 32, 3)
        )
        np.save(folder / f"{split}_labels.npy", np.arange(num) % num_classes)


def refusal() -> str:
    with pytest.raises(UnavailableError) as caught:
        Cifar10().info()
    return str(caught.value)


def test_the_md5s_are_those_of_torchvision() -> None:
    assert list(BATCHES["train"].items()) == [tuple(item) for item in CIFAR10.train_list]
    assert list(BATCHES["test"].items()) == [tuple(item) for item in CIFAR10.test_list]


def test_batches_are_joined_and_their_planes_become_channels(tmp_path: Path) -> None:
    first = write_batch(tmp_path, "b1", 1, [3, 9])
    second = write_batch(tmp_path, "b2", 2, [0])
    examples = read_batches(tmp_path, {"b1": md5(tmp_path / "b1"), "b2": md5(tmp_path / "b2")})
    images = np.asarray(examples.inputs)
    assert images.shape == (3, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert examples.targets.tolist() == [3, 9, 0]
    assert examples.targets.dtype == np.int64
    # Each row: 1024 red, then green, then blue values, row by row.
    assert images[1, 5, 7].tolist() == [first[1, 1024 * c + 32 * 5 + 7] for c in range(3)]
    assert images[2, 31, 0].tolist() == [second[0, 1024 * c + 32 * 31] for c in range(3)]


class _Bomb:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_another_md5_is_not_unpickled(tmp_path: Path) -> None:
    folder, sentinel = tmp_path / "cifar-10-batches-py", tmp_path / "ran"
    folder.mkdir()
    (folder / "b1").write_bytes(pickle.dumps(_Bomb(sentinel)))
    with pytest.raises(UnavailableError) as caught:
        read_batches(folder, {"b1": "0" * 32})
    assert str(caught.value) == (
        f"{folder}/b1: its md5 is {md5(folder / 'b1')}, not {'0' * 32}; get it anew"
    )
    assert not sentinel.exists()


def test_even_with_the_right_md5_only_arrays_are_built(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    (tmp_path / "b1").write_bytes(pickle.dumps(_Bomb(sentinel)))
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        read_batches(tmp_path, {"b1": md5(tmp_path / "b1")})
    assert not sentinel.exists()


def test_where_there_is_nothing_the_places_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = (
        "get it: sftbench data fetch cifar10; or take over what you have: "
        "sftbench data import cifar10 PATH"
    )
    cache = tmp_path / "home/.cache/sftbench/data"
    assert refusal() == f"cifar10 is not in ./data, {cache}; {advice}"
    monkeypatch.setenv("SFTBENCH_DATA", "/no/such")
    assert refusal() == f"cifar10 is not in /no/such, ./data, {cache}; {advice}"


@pytest.mark.parametrize("name", [*BATCHES["train"], *BATCHES["test"]])
def test_a_missing_batch_is_named(name: str) -> None:
    folder = Path("data/cifar-10-batches-py")
    folder.mkdir(parents=True)
    for other in {*BATCHES["train"], *BATCHES["test"]} - {name}:
        (folder / other).touch()
    assert refusal() == (
        f"{folder}/{name}: missing; replace it there, or take it away and run: "
        "sftbench data fetch cifar10"
    )


def test_info_of_torchvision_folder_and_a_damaged_file_at_load() -> None:
    folder = Path("data/cifar-10-batches-py")
    for name in (*BATCHES["train"], *BATCHES["test"]):
        write_batch(folder, name, 0, [1])
    info = Cifar10().info()
    assert (info.name, info.num_train, info.num_test) == ("cifar10", 50_000, 10_000)
    assert info.class_names[0] == "airplane"
    assert info.class_names[9] == "truck"
    assert info.num_classes == 10
    assert info.horizontal_flip is True
    assert info.licence == "unknown (research use)"
    assert "Krizhevsky 2009" in info.citation
    assert info.source == "files in data"
    with pytest.raises(UnavailableError, match="data_batch_1: its md5 is "):
        Cifar10().load("train", 32)
    with pytest.raises(UnavailableError, match="test_batch: its md5 is "):
        Cifar10().load("test", 32)


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("elsewhere/cifar10", "elsewhere"),
        ("elsewhere", "elsewhere"),
        ("data/cifar10", None),
        ("../home/.cache/sftbench/data", None),
    ],
)
def test_arrays_are_found(folder: str, root: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(Path(folder))
    if root:
        monkeypatch.setenv("SFTBENCH_DATA", root)
    assert Cifar10().info().num_train == 50_000
    test = Cifar10().load("test", 32)
    assert np.shape(test.inputs) == (10_000, 32, 32, 3)
    assert np.bincount(test.targets).tolist() == [1000] * 10
    assert np.shape(Cifar10().load("train", 32).inputs) == (50_000, 32, 32, 3)


def test_the_named_folder_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(Path("data"))
    write_arrays(Path("mine/cifar10"))
    monkeypatch.setenv("SFTBENCH_DATA", "mine")
    assert Cifar10().info().source == "files in mine/cifar10"


def test_arrays_of_another_size_are_refused() -> None:
    write_arrays(Path("data/cifar10"), num_train=49_999)
    assert refusal() == (
        "data/cifar10/train_images.npy: [49999, 32, 32, 3] is not cifar10, which has "
        "[50000, 32, 32, 3]; use arrays:data/cifar10"
    )


def test_arrays_of_other_classes_are_refused() -> None:
    write_arrays(Path("data/cifar10"), num_classes=100)
    assert refusal() == (
        "data/cifar10/train_labels.npy: 100 classes are not cifar10, which has 10; "
        "use arrays:data/cifar10"
    )
