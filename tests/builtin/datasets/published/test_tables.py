"""What is declared of the published sets, against torchvision and against itself."""

from __future__ import annotations

import inspect
import re
import string
import time

import pytest
from torchvision import datasets

from sftbench.api import UnavailableError
from sftbench.builtin import PUBLISHED
from sftbench.builtin.datasets.cifar import BATCHES_100, CLASS_NAMES_100
from sftbench.builtin.datasets.published.drawn import EMNIST_CLASSES, Emnist, EmnistOptions
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.imagenet import _class_names, _wnids
from sftbench.discovery import build_catalog

CATALOG = build_catalog(chosen="")
SETS = [entry.name for entry in PUBLISHED if entry.name != "imagenet"]
TORCHVISION = {
    "caltech101": "Caltech101",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "country211": "Country211",
    "dtd": "DTD",
    "emnist": "EMNIST",
    "eurosat": "EuroSAT",
    "fashion-mnist": "FashionMNIST",
    "fgvc-aircraft": "FGVCAircraft",
    "flowers102": "Flowers102",
    "food101": "Food101",
    "gtsrb": "GTSRB",
    "imagenette": "Imagenette",
    "kmnist": "KMNIST",
    "mnist": "MNIST",
    "oxford-pets": "OxfordIIITPet",
    "stl10": "STL10",
    "sun397": "SUN397",
    "svhn": "SVHN",
}


def made(name: str) -> PublishedSet:
    reference = "emnist:letters" if name == "emnist" else name
    component = CATALOG.create("dataset", reference)
    assert isinstance(component, PublishedSet)
    return component


@pytest.mark.parametrize("name", SETS)
def test_without_data_the_next_command_is_told_at_once(name: str) -> None:
    dataset = made(name)
    begin = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        dataset.info()
    assert time.monotonic() - begin < 1
    text = str(caught.value)
    assert f"sftbench data import {dataset.reference} PATH" in text
    if dataset.layout.downloads:
        assert f"get it: sftbench data fetch {dataset.reference}; or " in text
    assert "\n" not in text
    assert dataset.where() is None
    assert dataset.cache_key("train", 32) is None


@pytest.mark.parametrize("name", SETS)
def test_facts_are_whole(name: str) -> None:
    facts = made(name).published
    assert facts.num_classes > 1
    assert min(facts.num_train, facts.num_test) > 1000
    assert all((facts.images, facts.licence, facts.citation))
    assert facts.homepage.startswith("http")


@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_addresses_and_md5s_are_those_of_torchvision(name: str) -> None:
    """Each stands in the source of torchvision's class, or of the one it inherits from."""
    cls = getattr(datasets, TORCHVISION[name])
    source = "".join(inspect.getsource(one) for one in cls.__mro__[:2]).replace('"', "")
    layout = made(name).layout
    assert layout.downloads
    for one in layout.downloads:
        assert one.file_name in source
        assert one.md5 is None or one.md5 in source
    assert all(md5 in source for md5 in layout.md5.values())
    hosts = {one.url.split("/")[2] for one in layout.downloads}
    assert all(host in source for host in hosts)


def test_only_torchvision_s_own_gap_has_no_md5() -> None:
    without = {name for name in SETS for one in made(name).layout.downloads if one.md5 is None}
    assert without == {"fgvc-aircraft"}


def test_class_names_are_those_of_torchvision() -> None:
    for name, cls in (("fashion-mnist", datasets.FashionMNIST), ("kmnist", datasets.KMNIST)):
        assert list(made(name).class_names(None)) == cls.classes  # type: ignore[arg-type]
    for split, names in datasets.EMNIST.classes_split_dict.items():
        own = Emnist(EmnistOptions(split=split)).class_names(None)  # type: ignore[arg-type]
        assert list(own) == [one for one in names if one != "N/A"]
    wnids = datasets.Imagenette._WNID_TO_CLASS
    assert made("imagenette").class_names(None) == tuple(wnids[one][0] for one in sorted(wnids))  # type: ignore[arg-type]
    assert len(made("flowers102").class_names(None)) == 102  # type: ignore[arg-type]


def test_the_hundred_names_are_different_and_sorted_as_their_labels_are() -> None:
    assert len(CLASS_NAMES_100) == len(set(CLASS_NAMES_100)) == 100
    assert list(CLASS_NAMES_100) == sorted(CLASS_NAMES_100)
    assert list(BATCHES_100["train"].items()) == [tuple(x) for x in datasets.CIFAR100.train_list]
    assert list(BATCHES_100["test"].items()) == [tuple(x) for x in datasets.CIFAR100.test_list]


def test_the_sets_of_emnist_have_their_classes() -> None:
    sizes = {name: len(classes) for name, classes in EMNIST_CLASSES.items()}
    assert sizes == {
        "balanced": 47,
        "byclass": 62,
        "bymerge": 47,
        "digits": 10,
        "letters": 26,
        "mnist": 10,
    }
    assert set(EMNIST_CLASSES["byclass"]) == set(string.digits + string.ascii_letters)


def test_imagenet_has_a_thousand_ids_and_different_names() -> None:
    wnids = _wnids()
    assert len(set(wnids)) == 1000
    assert wnids == sorted(wnids)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)
    names = _class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[999]) == ("tench", "toilet tissue")
