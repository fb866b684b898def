"""Names of the EfficientNet-Lite checkpoints, turned into timm's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

# The first block has no expansion, so its convolutions are one earlier than in an inverted
# residual.
_OTHERS = {
    "_conv_stem": "model.conv_stem",
    "_bn0": "model.bn1",
    "_conv_head": "model.conv_head",
    "_bn1": "model.bn2",
    "_fc": "head",
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


def rename(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of an EfficientNet-Lite checkpoint (converted from TensorFlow).

    Source: Tan & Le 2019 and the EfficientNet-Lite release of 2020.

    Args:
        state: By the names of the published checkpoint.
        network: timm's model, as a backbone; blocks count through in the checkpoint, and within
            stages here.

    Raises:
        LookupError: A name that no EfficientNet-Lite has.
    """
    places = block_places(network)
    renamed = {}
    for name, tensor in state.items():
        match = _BLOCK.fullmatch(name)
        if match:
            stage, block = places[int(match[1])]
            parts = _SEPARABLE if stage == 0 else _INVERTED
            new = f"model.blocks.{stage}.{block}.{parts[match[2]]}.{match[3]}"
        else:
            module, _, leaf = name.partition(".")
            new = f"{_OTHERS[module]}.{leaf}"
        renamed[new] = tensor
    return renamed


def block_places(network: nn.Module) -> list[tuple[int, int]]:
    """Return (stage, block) of each block of one of timm's EfficientNets, in the order of use."""
    stages = network.get_submodule("model.blocks").children()
    sizes = [len(list(stage.children())) for stage in stages]
    return [(stage, block) for stage, size in enumerate(sizes) for block in range(size)]
