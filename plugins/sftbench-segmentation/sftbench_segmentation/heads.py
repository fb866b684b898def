"""Heads: packed feature maps to logits of every pixel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.models.segmentation.lraspp import LRASPPHead

from sftbench.api import Level, unpacked

Kind = Callable[[Sequence[Level], int], nn.Module]
"""Builds what maps [B, C, H, W], the finest first, become logits by, of some smaller size."""

_DECODER_WIDTHS = (64, 48, 32, 24)


class Head(nn.Module):
    """Unpack the maps, classify places, and enlarge to the images' size, bilinear.

    Args:
        levels: Form of each map.
        size: S, of the images.
        num_classes: C.
        kind: Builds the classifier.
    """

    def __init__(self, levels: Sequence[Level], size: int, num_classes: int, kind: Kind) -> None:
        super().__init__()
        self.classifier = kind(levels, num_classes)
        self._levels = tuple(levels)
        self._size = size

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [B, C, S, S] of features [B, L]."""
        logits = self.classifier(unpacked(features, self._levels))
        return F.interpolate(logits, size=(self._size,) * 2, mode="bilinear", align_corners=False)


class _OfLast(nn.Module):
    """Classify the places of the last map."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        logits: Tensor = self.layers(maps[-1])
        return logits


class _LowAndHigh(nn.Module):
    """LR-ASPP of the first and the last map."""

    def __init__(self, layers: LRASPPHead) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        logits: Tensor = self.layers(OrderedDict(low=maps[0], high=maps[-1]))
        return logits


class Decoder(nn.Module):
    """The expanding path of a U-Net: enlarge, join the next finer map, two convolutions.

    Args:
        levels: The finest first.
        num_classes: C.
    """

    def __init__(self, levels: Sequence[Level], num_classes: int) -> None:
        super().__init__()
        steps = []
        width = levels[-1].channels
        finer = list(reversed(levels[:-1]))
        for level, out in zip(finer, _DECODER_WIDTHS, strict=False):
            steps.append(nn.Sequential(*_conv(width + level.channels, out), *_conv(out, out)))
            width = out
        self.steps = nn.ModuleList(steps)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits [B, C, H, W] of the finest map's size."""
        import torch

        x, *finer = reversed(maps)
        for step, skip in zip(self.steps, finer, strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = step(torch.cat([x, skip], dim=1))
        logits: Tensor = self.classifier(x)
        return logits


def fcn(levels: Sequence[Level], num_classes: int) -> nn.Module:
    """Return torchvision's head of FCN."""
    return _OfLast(FCNHead(levels[-1].channels, num_classes))


def deeplabv3(levels: Sequence[Level], num_classes: int) -> nn.Module:
    """Return torchvision's head of DeepLabV3."""
    return _OfLast(DeepLabHead(levels[-1].channels, num_classes))


def lraspp(levels: Sequence[Level], num_classes: int) -> nn.Module:
    """Return torchvision's head of LR-ASPP, 128 channels wide."""
    return _LowAndHigh(LRASPPHead(levels[0].channels, levels[-1].channels, num_classes, 128))


def unet(levels: Sequence[Level], num_classes: int) -> nn.Module:
    """Return the decoder of a U-Net."""
    return Decoder(levels, num_classes)


def _conv(before: int, after: int) -> list[Any]:
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]
