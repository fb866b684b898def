from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from sftbench.builtin.datasets import embedded_files
from sftbench.builtin.datasets.embedded_files import (
    DIGITS_CLASS_NAMES,
    FASHION_MNIST_CLASS_NAMES,
    EmbeddedArrays,
    load_digits_arrays,
    load_fashion_mnist_mini,
)

ROOT = Path(__file__).parents[3]
DATA = ROOT / "sftbench/builtin/datasets/data"
FILE = DATA / "fashion-mnist-mini.bin.bz2"
FILE_SHA256 = "80477f47916ef295fc88e3968d7ce38b878bb05a9133968499bfcfa0ced27f9c"
CONTENT_SHA256 = "78fdaec94c13d994a3360731e09f24975e63fc68205b98f5ae50f22255dd944a"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

needs_debian_package = pytest.mark.skipif(
    not DEBIAN.is_dir(),
    reason=f"{DEBIAN} is not installed: apt-get install dataset-fashion-mnist",
)


@pytest.fixture(scope="module")
def mini() -> EmbeddedArrays:
    return load_fashion_mnist_mini()


@pytest.fixture(scope="module")
def digits() -> EmbeddedArrays:
    return load_digits_arrays()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    file = ROOT / "scripts/build_fashion_mnist_mini.py"
    spec = importlib.util.spec_from_file_location("build_fashion_mnist_mini", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images_as_bytes(images: NDArray[np.uint8] | NDArray[np.int64]) -> list[bytes]:
    return [image.tobytes() for image in images]


def sha256_of(arrays: EmbeddedArrays) -> str:
    parts = (
        arrays.train_images,
        arrays.train_labels,
        arrays.test_images,
        arrays.test_labels,
    )
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def test_the_committed_file_is_the_one_that_was_built() -> None:
    data = FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == FILE_SHA256
    assert hashlib.sha256(bz2.decompress(data)).hexdigest() == CONTENT_SHA256
    assert len(data) <= 3_000_000


def test_the_licence_lies_beside_the_file() -> None:
    notice = (DATA / "NOTICE.fashion-mnist").read_text(encoding="utf-8")
    assert "The MIT License (MIT) Copyright © 2017 Zalando SE" in notice
    assert "shall be included in all copies or\nsubstantial portions of the Software." in notice


def test_mini_has_the_promised_shapes_and_types(mini: EmbeddedArrays) -> None:
    assert mini.train_images.shape == (3000, 28, 28)
    assert mini.train_labels.shape == (3000,)
    assert mini.test_images.shape == (1000, 28, 28)
    assert mini.test_labels.shape == (1000,)
    assert mini.train_images.dtype == mini.test_images.dtype == np.uint8
    assert mini.train_labels.dtype == mini.test_labels.dtype == np.int64
    assert mini.train_images.flags.writeable
    assert mini.test_images.flags.writeable


def test_mini_is_decoded_in_the_documented_layout(mini: EmbeddedArrays) -> None:
    content = bz2.decompress(FILE.read_bytes())
    assert content[:8] == b"SFTBFM01"
    assert content[8:24].hex() == "00000bb8000003e80000001c0000001c"  # 3000, 1000, 28, 28
    assert content[24:] == (
        mini.train_images.tobytes()
        + mini.train_labels.astype(np.uint8).tobytes()
        + mini.test_images.tobytes()
        + mini.test_labels.astype(np.uint8).tobytes()
    )


def test_mini_is_balanced_and_its_classes_are_mixed(mini: EmbeddedArrays) -> None:
    assert np.bincount(mini.train_labels).tolist() == [300] * 10
    assert np.bincount(mini.test_labels).tolist() == [100] * 10
    # In a random order of ten equal classes a neighbour has another label nine times in ten.
    for labels in (mini.train_labels, mini.test_labels):
        assert 0.87 < np.mean(labels[1:] != labels[:-1]) < 0.93


def test_mini_holds_no_image_twice(mini: EmbeddedArrays) -> None:
    every = images_as_bytes(mini.train_images) + images_as_bytes(mini.test_images)
    assert len(every) == 4000
    assert len(set(every)) == 4000


def test_mini_can_be_learned_by_its_nearest_neighbour(mini: EmbeddedArrays) -> None:
    """Labels belong to their images: chance is 0.1, and Fashion-MNIST's own 1-NN is 0.85."""
    train = mini.train_images.reshape(3000, -1) / 255.0
    test = mini.test_images.reshape(1000, -1) / 255.0
    distances = (train**2).sum(1) - 2 * test @ train.T
    accuracy = np.mean(mini.train_labels[distances.argmin(1)] == mini.test_labels)
    assert 0.74 < accuracy < 0.85


def test_every_load_is_a_copy_of_its_own(mini: EmbeddedArrays) -> None:
    other = load_fashion_mnist_mini()
    other.train_images[:] = 0
    assert mini.train_images.max() == 255


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    data = bytearray(FILE.read_bytes())
    data[1_000_000] ^= 1
    file = tmp_path / "fashion-mnist-mini.bin.bz2"
    file.write_bytes(data)
    with pytest.raises(ValueError, match="damaged") as caught:
        load_fashion_mnist_mini(file)
    assert str(caught.value) == (
        f"{file}: damaged: its sha256 is {hashlib.sha256(data).hexdigest()}, not {FILE_SHA256}; "
        "sftbench's copy must be replaced; "
        "reinstall it: pip install --force-reinstall --no-deps sftbench"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gone.bin.bz2"
    with pytest.raises(ValueError, match="missing") as caught:
        load_fashion_mnist_mini(file)
    assert str(caught.value) == (
        f"{file}: missing from the installed sftbench; "
        "reinstall it: pip install --force-reinstall --no-deps sftbench"
    )


@needs_debian_package
def test_the_script_rebuilds_the_file_to_the_byte(script: ModuleType) -> None:
    assert script.build(DEBIAN) == FILE.read_bytes()


@needs_debian_package
@pytest.mark.parametrize(("prefix", "split"), [("train", "train"), ("t10k", "test")])
def test_every_mini_image_is_in_its_source_file_with_its_label(
    mini: EmbeddedArrays, prefix: str, split: str
) -> None:
    images = gzip.decompress((DEBIAN / f"{prefix}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DEBIAN / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())[8:]
    source = {images[784 * i : 784 * (i + 1)]: label for i, label in enumerate(labels)}
    chosen = images_as_bytes(getattr(mini, f"{split}_images"))
    assert [source.get(image) for image in chosen] == getattr(mini, f"{split}_labels").tolist()


@needs_debian_package
def test_check_tells_a_good_file_from_a_bad_one(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    assert script.main([str(DEBIAN), str(good)]) == 0
    assert script.main([str(DEBIAN), str(good), "--check"]) == 0
    assert capsys.readouterr().err == ""
    bad.write_bytes(good.read_bytes()[:-1])
    assert script.main([str(DEBIAN), str(bad), "--check"]) == 1
    assert capsys.readouterr().err == (
        f"{bad}: not what this script builds; run it without --check\n"
    )
    assert bad.read_bytes() == good.read_bytes()[:-1]


def test_the_script_names_a_missing_source(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/train-images-idx3-ubyte.gz: missing; "
        "get it with: apt-get install dataset-fashion-mnist\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_script_refuses_another_source(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(b"abc"))
    assert script.main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"{file}: decoded sha256 "
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, expected "
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888; "
        "take the file of Debian's package dataset-fashion-mnist\n"
    )
    assert not (tmp_path / "out").exists()


def test_digits_have_the_promised_shapes_and_types(digits: EmbeddedArrays) -> None:
    assert digits.train_images.shape == (1437, 8, 8)
    assert digits.train_labels.shape == (1437,)
    assert digits.test_images.shape == (360, 8, 8)
    assert digits.test_labels.shape == (360,)
    assert digits.train_images.dtype == digits.test_images.dtype == np.uint8
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int64


def test_digits_split_is_stratified(digits: EmbeddedArrays) -> None:
    assert np.bincount(digits.test_labels).tolist() == [36] * 10
    assert np.bincount(digits.train_labels).tolist() == [
        142, 146, 141, 147, 145, 146, 145, 143, 138, 144,
    ]  # fmt: skip


def test_digits_are_scikit_learns_each_once_and_lossless(digits: EmbeddedArrays) -> None:
    original = load_digits()
    label_of = {
        image.astype(np.int64).tobytes(): label
        for image, label in zip(original.images, original.target.tolist(), strict=True)
    }
    assert len(label_of) == 1797  # no image occurs twice
    images = np.concatenate([digits.train_images, digits.test_images])
    restored = images_as_bytes(np.rint(images.astype(np.int64) * 16 / 255).astype(np.int64))
    assert len(set(restored)) == 1797  # and so none is in both parts
    labels = [*digits.train_labels.tolist(), *digits.test_labels.tolist()]
    assert [label_of.get(image) for image in restored] == labels


def test_digits_grey_values_are_spread_over_the_byte(digits: EmbeddedArrays) -> None:
    values = np.unique(np.concatenate([digits.train_images, digits.test_images]))
    assert values.tolist() == [
        0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255,
    ]  # fmt: skip


def test_digits_split_never_changes(digits: EmbeddedArrays) -> None:
    assert sha256_of(digits) == ("0c86996b1d9426e6097f8122895f8a637ca1f5c085e980f2d54d46116c937098")


def test_class_names_stand_in_the_order_of_labels() -> None:
    assert len(FASHION_MNIST_CLASS_NAMES) == 10
    assert FASHION_MNIST_CLASS_NAMES[0] == "T-shirt/top"
    assert FASHION_MNIST_CLASS_NAMES[9] == "Ankle boot"
    assert "".join(DIGITS_CLASS_NAMES) == "0123456789"
    assert len(DIGITS_CLASS_NAMES) == 10


def test_import_brings_neither_scikit_learn_nor_torch() -> None:
    code = (
        f"import sys; import {embedded_files.__name__}; "
        "print([name for name in ('sklearn', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
