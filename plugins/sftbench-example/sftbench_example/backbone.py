"""A backbone: a small network, and weights that are computed instead of loaded."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from sftbench.api import Backbone, BackboneInfo, BlockBackbone, PretrainedWeights

_DIRECTIONS = 8
_WIDTH = 16


class TwoConv(Backbone):
    """Two strided convolutions with ReLU, then the mean over all places; 16 features.

    As pretrained weights its first convolution has edge filters of eight directions, and its
    second one averages what they say: a texture descriptor, made without training.
    """

    name = "two-conv"
    summary = "two convolutions; the first sees edges of eight directions"

    def info(self) -> BackboneInfo:
        """Return 32 pixels, and mean and deviation 0.5."""
        return BackboneInfo(
            image_size=32,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            licence="MIT",
            source="computed by sftbench-example",
        )

    def build(self, image_size: int) -> nn.Module:
        """Build the network with torch's random initialisation."""
        model = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, _DIRECTIONS, 5, stride=2, padding=2), nn.ReLU()),
            nn.Sequential(nn.Conv2d(_DIRECTIONS, _WIDTH, 3, stride=2, padding=1), nn.ReLU()),
            nn.AdaptiveAvgPool2d(1),
        )
        # One probe image tells where the blocks end.
        return BlockBackbone(model, torch.zeros(1, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Compute the weights; they had no head."""
        state = {
            "model.0.0.weight": edge_filters(),
            "model.0.0.bias": torch.zeros(_DIRECTIONS),
            "model.1.0.weight": averages(),
            "model.1.0.bias": torch.zeros(_WIDTH),
        }
        content = b"".join(tensor.numpy().tobytes() for tensor in state.values())
        return PretrainedWeights(
            state=state,
            head=None,
            digest=hashlib.sha256(content).hexdigest(),
            origin="computed by sftbench-example",
        )


def edge_filters() -> Tensor:
    """Return first derivatives of a Gaussian in eight directions, float32 [8, 3, 5, 5]."""
    offsets = torch.arange(-2.0, 3.0)
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    angles = [2 * math.pi * number / _DIRECTIONS for number in range(_DIRECTIONS)]
    filters = [(x * math.cos(a) + y * math.sin(a)) * torch.exp(-(x**2 + y**2) / 4) for a in angles]
    return torch.stack(filters).unsqueeze(1).repeat(1, 3, 1, 1) / 3


def averages() -> Tensor:
    """Return means over 3 x 3 places of one channel each, float32 [16, 8, 3, 3]."""
    weight = torch.zeros(_WIDTH, _DIRECTIONS, 3, 3)
    for channel in range(_WIDTH):
        weight[channel, channel % _DIRECTIONS] = 1 / 9
    return weight
