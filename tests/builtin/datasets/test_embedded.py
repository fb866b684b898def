from __future__ import annotations

import numpy as np
import pytest

from sftbench.api import Dataset, UnavailableError
from sftbench.builtin.datasets import embedded, embedded_files
from sftbench.builtin.datasets.embedded import Digits, FashionMnistMini


def test_fashion_mnist_mini() -> None:
    info = FashionMnistMini().info()
    assert (info.name, info.num_train, info.num_test, info.num_classes) == (
        "fashion-mnist-mini",
        3000,
        1000,
        10,
    )
    assert (info.horizontal_flip, info.image_size) == (True, 64)
    assert (info.limit_train, info.limit_test) == (1200, None)
    assert info.class_names[0] == "T-shirt/top"
    assert info.licence == "MIT"
    assert "arXiv:1708.07747" in info.citation
    train = FashionMnistMini().load("train", 64)
    assert np.shape(train.inputs) == (3000, 28, 28, 1)
    assert np.bincount(train.targets).tolist() == [300] * 10


def test_digits() -> None:
    info = Digits().info()
    assert (info.name, info.num_train, info.num_test, info.num_classes) == ("digits", 1437, 360, 10)
    assert (info.horizontal_flip, info.image_size, info.limit_train) == (False, 64, None)
    assert info.licence == "BSD-3-Clause"
    assert np.shape(Digits().load("train", 64).inputs) == (1437, 8, 8, 1)
    assert np.bincount(Digits().load("test", 64).targets).tolist() == [36] * 10


@pytest.mark.parametrize("dataset", [FashionMnistMini(), Digits()])
def test_load_gives_what_info_says_and_the_splits_differ(dataset: Dataset) -> None:
    info, train, test = dataset.info(), dataset.load("train", 64), dataset.load("test", 64)
    assert len(train.inputs) == len(train.targets) == info.num_train
    assert len(test.inputs) == len(test.targets) == info.num_test
    for examples in (train, test):
        assert isinstance(examples.inputs, np.ndarray)
        assert examples.inputs.dtype == np.uint8
        assert examples.targets.dtype == np.int64
        assert np.unique(examples.targets).tolist() == list(range(info.num_classes))
    seen = {row.tobytes() for row in np.asarray(train.inputs)}
    assert sum(row.tobytes() in seen for row in np.asarray(test.inputs)) == 0


def test_a_damaged_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = embedded_files.FASHION_MNIST_MINI_FILE / "gone"
    monkeypatch.setattr(
        embedded,
        "load_fashion_mnist_mini",
        lambda: embedded_files.load_fashion_mnist_mini(_Gone(str(missing))),  # type: ignore[arg-type]
    )
    with pytest.raises(UnavailableError) as caught:
        FashionMnistMini().load("train", 64)
    assert str(caught.value) == (
        f"{missing}: missing from the installed sftbench; "
        "reinstall it: pip install --force-reinstall --no-deps sftbench"
    )


class _Gone:
    def __init__(self, path: str) -> None:
        self.path = path

    def read_bytes(self) -> bytes:
        raise FileNotFoundError

    def __str__(self) -> str:
        return self.path
