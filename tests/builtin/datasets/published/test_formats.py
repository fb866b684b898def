"""Each format, written tiny and true, and read by torchvision as the published data would be."""

from __future__ import annotations

import csv
import hashlib
import json
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from sftbench.api import UnavailableError
from sftbench.builtin.datasets import cifar
from sftbench.builtin.datasets.published.drawn import Emnist, EmnistOptions, FashionMnist, Mnist
from sftbench.builtin.datasets.published.photographs import (
    Dtd,
    FgvcAircraft,
    Flowers102,
    Food101,
    Gtsrb,
    OxfordPets,
)
from sftbench.builtin.datasets.published.scenes import Caltech101, Country211, Imagenette, Sun397
from sftbench.builtin.datasets.published.small import EuroSat, Pcam, Stl10, Svhn


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(file: Path, value: int, size: tuple[int, int] = (20, 16), **options) -> None:
    """Write an image of one colour, (value, 100, 50), which no format changes by much."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 100, 50)).save(file, **options)


def reds(images: NDArray[np.uint8]) -> list[int]:
    """Return the red value of each image of `picture`, rounded to tens."""
    return [round(int(image[4, 4, 0]) / 10) * 10 for image in images]


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


# ---- arrays of one size -------------------------------------------------------------------------


def idx(file: Path, array: NDArray[np.uint8]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(head + array.tobytes())


@pytest.mark.parametrize(("cls", "folder"), [(Mnist, "MNIST"), (FashionMnist, "FashionMNIST")])
@pytest.mark.parametrize("root", ["data", "data/NAME", "elsewhere"])
def test_idx_files(cls, folder: str, root: str, shrink, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Path(root.replace("NAME", cls.name), folder, "raw")
    monkeypatch.setenv("SFTBENCH_DATA", "elsewhere")
    train, test = noise(12, 28, 28), noise(10, 28, 28, seed=1)
    idx(raw / "train-images-idx3-ubyte", train)
    idx(raw / "train-labels-idx1-ubyte", np.arange(12, dtype=np.uint8) % 10)
    idx(raw / "t10k-images-idx3-ubyte", test)
    idx(raw / "t10k-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    dataset = shrink(cls, 12, 10)
    info = dataset.info()
    assert (info.num_train, info.num_test, info.num_classes) == (12, 10, 10)
    assert info.source == f"files in {raw.parent.parent}"
    loaded = dataset.load("train", 224)
    np.testing.assert_array_equal(loaded.inputs, train[..., None])
    assert loaded.targets.tolist() == [*range(10), 0, 1]
    assert loaded.targets.dtype == np.int64
    np.testing.assert_array_equal(dataset.load("test", 224).inputs, test[..., None])
    assert dataset.cache_key("train", 32) is None
    dataset.check(raw.parent.parent)


def test_idx_of_another_size_or_cut_off_is_refused(shrink) -> None:
    raw = Path("data/MNIST/raw")
    for split, num in (("train", 3), ("t10k", 2)):
        idx(raw / f"{split}-images-idx3-ubyte", noise(num, 28, 28))
        idx(raw / f"{split}-labels-idx1-ubyte", np.zeros(num, dtype=np.uint8))
    anew = "replace it there, or take it away and run: sftbench data fetch mnist"
    with pytest.raises(UnavailableError) as caught:
        Mnist().load("train", 28)
    assert str(caught.value) == f"data: 3 examples in train, published are 60,000; {anew}"
    dataset = shrink(Mnist, 3, 2)
    idx(raw / "train-labels-idx1-ubyte", np.array([0, 1, 10], dtype=np.uint8))
    with pytest.raises(UnavailableError, match="train has a label outside of 0 to 9"):
        dataset.load("train", 28)
    idx(raw / "train-images-idx3-ubyte", noise(3, 27, 28))
    with pytest.raises(UnavailableError):
        dataset.check(Path("data"))
    file = raw / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(UnavailableError, match=r"^data: RuntimeError: .*take it away"):
        dataset.load("test", 28)


def test_letters_count_from_0_and_stand_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sftbench.builtin.datasets.published.drawn", fromlist=["_"])._EMNIST_COUNTS,
        "letters",
        (26, 26),
    )
    images = noise(26, 28, 28)
    for mark in Emnist.layout.marks:
        write(Path("data", mark), "")
    for split in ("train", "test"):
        start = Path("data/EMNIST/raw") / f"emnist-letters-{split}"
        idx(start.with_name(f"{start.name}-images-idx3-ubyte"), images)
        idx(start.with_name(f"{start.name}-labels-idx1-ubyte"), np.arange(1, 27, dtype=np.uint8))
    dataset = Emnist(EmnistOptions(split="letters"))
    assert dataset.reference == "emnist:letters"
    assert dataset.info().class_names == tuple("abcdefghijklmnopqrstuvwxyz")
    loaded = dataset.load("train", 28)
    assert loaded.targets.tolist() == list(range(26))
    np.testing.assert_array_equal(loaded.inputs[..., 0], images.transpose(0, 2, 1))


def test_cifar100_pickles_with_fine_labels(shrink, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("data/cifar-100-python")
    folder.mkdir(parents=True)
    pixels = noise(100, 3072)
    batches = {}
    for split in ("train", "test"):
        (folder / split).write_bytes(_as_python2(pixels, list(range(100))))
        batches[split] = {split: md5(folder / split)}
    read = cifar._batches("cifar-100-python", batches, "fine_labels")
    monkeypatch.setattr(cifar.Cifar100, "layout", replace(cifar.Cifar100.layout, read=read))
    dataset = shrink(cifar.Cifar100, 100, 100)
    loaded = dataset.load("test", 32)
    assert loaded.targets.tolist() == list(range(100))
    np.testing.assert_array_equal(
        loaded.inputs, pixels.reshape(100, 3, 32, 32).transpose(0, 2, 3, 1)
    )
    assert dataset.info().class_names[99] == "worm"
    (folder / "test").write_bytes(b"else")
    with pytest.raises(UnavailableError, match="data/cifar-100-python/test: its md5 is"):
        dataset.load("test", 32)


def _as_python2(pixels: NDArray[np.uint8], labels: list[int]) -> bytes:
    """Pickle as Python 2 did for the published files: protocol 0, byte strings, align 0."""
    listed = b"".join(b"I%d\na" % label for label in labels)
    return (
        b"(dp0\nS'data'\np1\ncnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I%d\nI%d\nt"
        % pixels.shape
        + b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS"
        + repr(pixels.tobytes())[1:].encode()
        + b"\ntbsS'fine_labels'\n(l"
        + listed
        + b"s."
    )


def test_svhn_mat_files(shrink, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    Path("data").mkdir()
    images = noise(32, 32, 3, 10)
    splits = {}
    for split in ("train", "test"):
        file = Path("data", f"{split}_32x32.mat")
        savemat(file, {"X": images, "y": np.arange(1, 11, dtype=np.uint8)[:, None]})
        splits[split] = ["http://nowhere", file.name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", splits)
    dataset = shrink(Svhn, 10, 10)
    loaded = dataset.load("train", 32)
    assert loaded.targets.tolist() == [*range(1, 10), 0]
    np.testing.assert_array_equal(loaded.inputs, images.transpose(3, 0, 1, 2))
    Path("data/test_32x32.mat").write_bytes(b"damaged")
    with pytest.raises(UnavailableError, match=r"^data/t\w+_32x32.mat: its md5 is .*take it away"):
        dataset.load("test", 32)


def test_stl10_binaries_lie_in_columns(shrink, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("data/stl10_binary")
    folder.mkdir(parents=True)
    pixels = noise(2, 3, 96, 96)
    for split in ("train", "test", "unlabeled"):
        (folder / f"{split}_X.bin").write_bytes(pixels.tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes([1, 10]))
    for member in ("train_list", "test_list"):
        known = [[name, md5(folder / name)] for name, _ in getattr(datasets.STL10, member)]
        monkeypatch.setattr(datasets.STL10, member, known)
    loaded = shrink(Stl10, 2, 2).load("test", 32)
    assert loaded.targets.tolist() == [0, 9]
    assert np.shape(loaded.inputs) == (2, 96, 96, 3)
    assert loaded.inputs[1][5, 7].tolist() == pixels[1, :, 7, 5].tolist()


def test_pcam_is_read_from_h5(shrink) -> None:
    h5py = pytest.importorskip("h5py", reason="pcam needs h5py")
    Path("data/pcam").mkdir(parents=True)
    pixels = noise(3, 96, 96, 3)
    for split in ("train", "test"):
        start = f"data/pcam/camelyonpatch_level_2_split_{split}"
        with h5py.File(f"{start}_x.h5", "w") as file:
            file["x"] = pixels
        with h5py.File(f"{start}_y.h5", "w") as file:
            file["y"] = np.array([0, 1, 1], dtype=np.uint8).reshape(3, 1, 1, 1)
    loaded = shrink(Pcam, 3, 3).load("train", 32)
    np.testing.assert_array_equal(loaded.inputs, pixels)
    assert loaded.targets.tolist() == [0, 1, 1]


def test_pcam_needs_h5py_and_says_so(shrink, monkeypatch: pytest.MonkeyPatch) -> None:
    for mark in Pcam.layout.marks:
        write(Path("data", mark), "")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnavailableError) as caught:
        shrink(Pcam, 2, 2).load("train", 96)
    assert str(caught.value) == "pcam needs h5py: pip install 'sftbench[pcam]'"


# ---- image files --------------------------------------------------------------------------------


def test_flowers_join_train_and_val(shrink, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    base = Path("data/flowers-102")
    for number in range(1, 6):
        picture(base / f"jpg/image_{number:05d}.jpg", 40 * number, quality=95)
    savemat(base / "imagelabels.mat", {"labels": np.array([[1, 2, 3, 102, 5]])})
    savemat(base / "setid.mat", {"trnid": [[1, 4]], "valid": [[2, 3]], "tstid": [[5, 5]]})
    known = {
        "image": ("102flowers.tgz", ""),
        "label": ("imagelabels.mat", md5(base / "imagelabels.mat")),
        "setid": ("setid.mat", md5(base / "setid.mat")),
    }
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", known)
    dataset = shrink(Flowers102, 4, 2)
    assert dataset.info().class_names[101] == "blackberry lily"
    loaded = dataset.load("train", 16)
    assert loaded.targets.tolist() == [0, 101, 1, 2]
    assert np.shape(loaded.inputs) == (4, 16, 16, 3)
    assert reds(loaded.inputs) == [40, 160, 80, 120]
    assert loaded.unreadable == ()
    assert dataset.load("test", 16).targets.tolist() == [4, 4]


def test_what_cannot_be_read_is_a_line_and_what_is_missing_is_found(shrink) -> None:
    base = Path("data/country211")
    for split in ("train", "valid", "test"):
        for label, country in enumerate(("AD", "AE")):
            picture(base / split / country / "1.jpg", 60 * (label + 1))
    dataset = shrink(Country211, 4, 2, num_classes=2)
    assert dataset.info().class_names == ("AD", "AE")
    (base / "valid/AE/1.jpg").write_bytes(b"no image")
    loaded = dataset.load("train", 16)
    assert loaded.targets.tolist() == [0, 1, 0]
    [line] = loaded.unreadable
    assert line.startswith("data/country211/valid/AE/1.jpg: ")
    dataset.check(Path("data"))
    (base / "test/AD/1.jpg").unlink()
    with pytest.raises(UnavailableError):
        dataset.check(Path("data"))


def test_the_key_of_the_cache_depends_on_the_files(shrink) -> None:
    base = Path("data/country211")
    for split in ("train", "valid", "test"):
        for country in ("AD", "AE"):
            picture(base / split / country / "1.png", 100)
    dataset = shrink(Country211, 4, 2, num_classes=2)
    first = dataset.cache_key("train", 32)
    assert first is not None
    assert dataset.cache_key("train", 32) == first
    assert dataset.cache_key("train", 64) != first
    assert dataset.cache_key("test", 32) != first
    picture(base / "train/AD/1.png", 120, size=(30, 30))
    assert dataset.cache_key("train", 32) != first


def test_pets_are_named_by_their_files(shrink) -> None:
    base = Path("data/oxford-iiit-pet")
    lines = ["Abyssinian_1 1 1 1", "yorkshire_terrier_2 2 2 1"]
    write(base / "annotations/trainval.txt", "\n".join(lines))
    write(base / "annotations/test.txt", "\n".join(reversed(lines)))
    picture(base / "images/Abyssinian_1.jpg", 100)
    picture(base / "images/yorkshire_terrier_2.jpg", 200)
    dataset = shrink(OxfordPets, 2, 2, num_classes=2)
    assert dataset.info().class_names == ("Abyssinian", "Yorkshire Terrier")
    assert dataset.load("test", 16).targets.tolist() == [1, 0]
    assert reds(dataset.load("test", 16).inputs) == [200, 100]


def test_food_is_listed_in_json(shrink) -> None:
    base = Path("data/food-101")
    for split in ("train", "test"):
        listed = {"beignets": ["beignets/2"], "apple_pie": ["apple_pie/1"]}
        write(base / f"meta/{split}.json", json.dumps(listed))
    picture(base / "images/apple_pie/1.jpg", 100)
    picture(base / "images/beignets/2.jpg", 200)
    dataset = shrink(Food101, 2, 2, num_classes=2)
    assert dataset.info().class_names == ("apple_pie", "beignets")
    assert dataset.load("train", 16).targets.tolist() == [1, 0]
    assert reds(dataset.load("train", 16).inputs) == [200, 100]


def test_textures_of_partition_1(shrink) -> None:
    base = Path("data/dtd/dtd")
    for split in ("train", "val", "test"):
        write(base / f"labels/{split}1.txt", f"banded/{split}.jpg\nzigzagged/{split}.jpg\n")
        picture(base / f"images/banded/{split}.jpg", 50)
        picture(base / f"images/zigzagged/{split}.jpg", 150)
    dataset = shrink(Dtd, 4, 2, num_classes=2)
    assert dataset.info().class_names == ("banded", "zigzagged")
    assert dataset.load("train", 16).targets.tolist() == [0, 1, 0, 1]
    assert reds(dataset.load("train", 16).inputs) == [50, 150, 50, 150]


def test_signs_are_ppm_and_their_test_a_table(shrink) -> None:
    base = Path("data/gtsrb")
    for label in range(2):
        picture(base / f"GTSRB/Training/{label:05d}/1.ppm", 60 * label)
    with (base / "GT-final_test.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([["Filename", "Width", "ClassId"], ["a.ppm", "5", "42"]])
    picture(base / "GTSRB/Final_Test/Images/a.ppm", 200)
    dataset = shrink(Gtsrb, 2, 1)
    assert dataset.info().class_names[42] == "42"
    assert dataset.load("train", 16).targets.tolist() == [0, 1]
    assert dataset.load("test", 16).targets.tolist() == [42]


def test_aircraft_of_variants(shrink) -> None:
    base = Path("data/fgvc-aircraft-2013b/data")
    write(base / "variants.txt", "707-320\nA300 B4\n")
    write(base / "images_variant_trainval.txt", "0001 A300 B4\n")
    write(base / "images_variant_test.txt", "0002 707-320\n")
    picture(base / "images/0001.jpg", 50)
    picture(base / "images/0002.jpg", 150)
    dataset = shrink(FgvcAircraft, 1, 1, num_classes=2)
    assert dataset.info().class_names == ("707-320", "A300 B4")
    assert dataset.load("train", 16).targets.tolist() == [1]
    assert reds(dataset.load("test", 16).inputs) == [150]


def test_imagenette_by_wordnet_id(shrink) -> None:
    for wnid in datasets.Imagenette._WNID_TO_CLASS:
        for split in ("train", "val"):
            picture(Path("data/imagenette2", split, wnid, "1.JPEG"), 100)
    dataset = shrink(Imagenette, 10, 10)
    assert dataset.info().class_names[9] == "parachute"
    assert dataset.load("test", 16).targets.tolist() == list(range(10))


# ---- splits that are drawn here -----------------------------------------------------------------


def test_eurosat_is_split_class_by_class_and_always_alike(shrink) -> None:
    base = Path("data/eurosat/2750")
    for number in range(10):
        picture(base / f"AnnualCrop/AnnualCrop_{number}.png", 10 * number, size=(64, 64))
    for number in range(5):
        picture(base / f"SeaLake/SeaLake_{number}.png", 100 + 10 * number, size=(64, 64))
    dataset = shrink(EuroSat, 12, 3, num_classes=2)
    train, test = dataset.load("train", 224), dataset.load("test", 224)
    assert np.shape(train.inputs) == (12, 64, 64, 3)
    assert np.bincount(train.targets).tolist() == [8, 4]
    assert np.bincount(test.targets).tolist() == [2, 1]
    everything = reds(train.inputs) + reds(test.inputs)
    assert sorted(everything) == [10 * number for number in range(15)]
    # The split is part of the experiment: it may never change.
    assert reds(test.inputs) == [50, 90, 120]


def test_caltech_trains_on_thirty_of_each_class(shrink) -> None:
    base = Path("data/caltech101/101_ObjectCategories")
    for name, num in (("BACKGROUND_Google", 3), ("ant", 31), ("beaver", 33)):
        for number in range(1, num + 1):
            picture(base / name / f"image_{number:04d}.jpg", 7 * number, size=(8, 8))
    dataset = shrink(Caltech101, 60, 4, num_classes=2)
    assert dataset.info().class_names == ("ant", "beaver")
    with pytest.raises(UnavailableError, match=r"^data: 2 classes, caltech101 has 3; replace it"):
        shrink(Caltech101, 60, 4, num_classes=3).info()
    dataset = shrink(Caltech101, 60, 4, num_classes=2)
    assert np.bincount(dataset.load("train", 8).targets).tolist() == [30, 30]
    assert np.bincount(dataset.load("test", 8).targets).tolist() == [1, 3]


def test_sun_draws_fifty_and_fifty(shrink) -> None:
    base = Path("data/SUN397")
    write(base / "ClassName.txt", "/a/abbey\n/b/bridge/indoor\n")
    for name in ("a/abbey", "b/bridge/indoor"):
        for number in range(103):
            picture(base / name / f"sun_{number:03d}.jpg", number, size=(8, 8))
    dataset = shrink(Sun397, 100, 100, num_classes=2)
    assert dataset.info().class_names == ("abbey", "bridge/indoor")
    assert np.bincount(dataset.load("train", 8).targets).tolist() == [50, 50]
    assert np.bincount(dataset.load("test", 8).targets).tolist() == [50, 50]
    train = set(dataset.read(Path("data"), "train").paths)  # type: ignore[union-attr]
    test = set(dataset.read(Path("data"), "test").paths)  # type: ignore[union-attr]
    assert not train & test
