from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.arrays import PathOptions
from sftbench.builtin.datasets.published.imagenet import ImageNet, _wnids


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch) -> ImageNet:
    """One image for training in each folder, and one for the test in two of them."""
    facts = replace(ImageNet.published, num_train=1000, num_test=2)
    monkeypatch.setattr(ImageNet, "published", facts)
    Image.new("RGB", (12, 10), (200, 100, 50)).save("one.jpg")
    for wnid in _wnids():
        for part in ("train", "val"):
            Path("net", part, wnid).mkdir(parents=True)
        Path("net", "train", wnid, "one.JPEG").hardlink_to("one.jpg")
    for label in (999, 3):
        Path("net", "val", _wnids()[label], "two.JPEG").hardlink_to("one.jpg")
    return ImageNet(PathOptions(path="net"))


def test_the_folders_are_read_in_the_order_of_their_ids(imagenet: ImageNet) -> None:
    info = imagenet.info()
    assert info.name == "imagenet:net"
    assert (info.num_classes, info.num_train, info.num_test) == (1000, 1000, 2)
    assert info.class_names[1] == "goldfish"
    train = imagenet.load("train", 8)
    assert train.targets.tolist() == list(range(1000))
    assert np.shape(train.inputs) == (1000, 8, 8, 3)
    assert imagenet.load("test", 8).targets.tolist() == [3, 999]
    assert imagenet.cache_key("test", 8) != imagenet.cache_key("test", 16)


def test_a_missing_class_and_missing_images_are_told(imagenet: ImageNet) -> None:
    (Path("net/val") / _wnids()[3] / "two.JPEG").unlink()
    with pytest.raises(UnavailableError) as caught:
        imagenet.load("test", 8)
    assert str(caught.value) == (
        "net/val: 1 images, ImageNet has 2; complete it, or use folder:net"
    )
    (Path("net/val") / _wnids()[0]).rmdir()
    with pytest.raises(UnavailableError) as caught:
        imagenet.info()
    assert str(caught.value) == (
        "net/val: 1 of 1,000 folders are missing, n01440764 is the first; expected ImageNet's "
        "train/WNID/IMAGE and val/WNID/IMAGE"
    )
    with pytest.raises(UnavailableError, match="nowhere: no such folder; expected ImageNet's"):
        ImageNet(PathOptions(path="nowhere")).info()
