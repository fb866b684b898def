"""Names of an old checkpoint of MobileNetV2, turned into timm's and torchvision's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sftbench.builtin.weights.efficientnet_lite import block_places

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAME = re.compile(r"features\.(\d+)\.(?:conv\.)?(\d)\.(\w+)")
_LAST = 18  # the convolution behind the blocks
# In the first block nothing is expanded. The numbers are those of the modules in a block, counted
# as if convolution, batch norm and activation stood there one after another.
_TIMM_FIRST = {"0": "conv_dw", "1": "bn1", "3": "conv_pw", "4": "bn2"}
_TIMM = {"0": "conv_pw", "1": "bn1", "3": "conv_dw", "4": "bn2", "6": "conv_pwl", "7": "bn3"}
_TIMM_STEM = {"0": "conv_stem", "1": "bn1"}
_TIMM_HEAD = {"0": "conv_head", "1": "bn2"}
_TORCHVISION_FIRST = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
_TORCHVISION = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}


def rename_for_timm(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of torchvision's first MobileNetV2 (without classifier) to timm's names.

    Source: Sandler et al. 2018.

    Raises:
        LookupError: A name that the checkpoint should not have.
    """
    places = block_places(network)
    renamed = {}
    for name, tensor in state.items():
        layer, part, leaf = _parts(name)
        if layer == 0:
            new = f"{_TIMM_STEM[part]}.{leaf}"
        elif layer == _LAST:
            new = f"{_TIMM_HEAD[part]}.{leaf}"
        else:
            stage, block = places[layer - 1]
            names = _TIMM_FIRST if layer == 1 else _TIMM
            new = f"blocks.{stage}.{block}.{names[part]}.{leaf}"
        renamed[f"model.{new}"] = tensor
    return renamed


def rename_for_torchvision(state: Mapping[str, Tensor], _network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of torchvision's first MobileNetV2 to those of the present one.

    Raises:
        LookupError: A name that the checkpoint should not have.
    """
    renamed = {}
    for name, tensor in state.items():
        layer, part, leaf = _parts(name)
        if layer in {0, _LAST}:
            new = part
        else:
            new = f"conv.{(_TORCHVISION_FIRST if layer == 1 else _TORCHVISION)[part]}"
        renamed[f"model.features.{layer}.{new}.{leaf}"] = tensor
    return renamed


def _parts(name: str) -> tuple[int, str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise KeyError(name)
    return int(match[1]), match[2], match[3]
