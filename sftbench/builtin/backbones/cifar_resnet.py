"""The small residual network of CIFAR: 32 layers, 32 pixels, no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sftbench.api import (
    Backbone,
    BackboneInfo,
    BlockBackbone,
    PretrainedWeights,
    UnavailableError,
)

_WIDTHS = (16, 32, 64)
_BLOCKS = 5  # of each width: 6 x 5 + 2 layers


class CifarResNet32(Backbone):
    """ResNet-32 for CIFAR: a convolution, then 5 basic blocks each of 16, 32 and 64 channels.

    64 features, 464,154 parameters with a head of ten classes. There are no pretrained weights.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2, with
    shortcuts of option A. Initial weights (He's normal distribution by fan-in), mean and deviation
    are those of the code of Cao et al. 2019 (LDAM-DRW), whose results for long tails are widely
    compared with.
    """

    name = "cifar-resnet32"
    summary = "ResNet-32 for CIFAR (He et al.), without pretrained weights"

    def info(self) -> BackboneInfo:
        """Return 32 pixels, and CIFAR-10's mean and deviation as Cao's code has them."""
        return BackboneInfo(
            image_size=32,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2023, 0.1994, 0.2010),
            licence="MIT",
            source="nothing: random weights",
        )

    def build(self, image_size: int) -> nn.Module:
        """Build the network; its maps are 1, 1/2 and 1/4 of the image's side."""
        return BlockBackbone(_network(), torch.zeros(1, 3, image_size, image_size))

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Raise: there are none."""
        raise UnavailableError(self.pretrained_problem())

    def pretrained_problem(self) -> str:
        """Say that there are none, and what to start from."""
        return (
            f"weights of {self.name}: nobody published any; start from --weights none, or make "
            f"some: sftbench pretrain --backbone {self.name} --dataset SOURCE, then "
            "--weights pretrain:SOURCE"
        )


def _network() -> nn.Module:
    stages: list[nn.Module] = []
    width = _WIDTHS[0]
    for number, wider in enumerate(_WIDTHS):
        strides = [1 if number == 0 else 2] + [1] * (_BLOCKS - 1)
        blocks = []
        for stride in strides:
            blocks.append(BasicBlock(width, wider, stride))
            width = wider
        stages.append(nn.Sequential(*blocks))
    stem = nn.Sequential(_convolution(3, _WIDTHS[0], 1), nn.BatchNorm2d(_WIDTHS[0]), nn.ReLU())
    return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1))


def _convolution(inside: int, outside: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut without parameters.

    Args:
        inside: Channels of the input.
        outside: Channels of the output; more than `inside` where `stride` is 2.
        stride: Of the first convolution.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inside, outside, stride)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = _convolution(outside, outside, 1)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride = stride
        self.more = outside - inside

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C', H / stride, W / stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        """Option A: every second place, and zeros for the channels that are new."""
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        first = self.more // 2
        return F.pad(x, (0, 0, 0, 0, first, self.more - first)) if self.more else x
