"""The four detectors, each built of torchvision's parts around the maps of a body."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7
from torchvision.ops.misc import Conv2dNormActivation

from sftbench.api import Level
from sftbench_detection.heads import Given, Head, Prepared
from sftbench_detection.layout import MOST_DETECTIONS

_LEAST_SCORE: Final = 0.01
# Proposals of an image in training, and those that are sampled: half of torchvision's, a quarter.
_PROPOSALS: Final = 1000
_SAMPLED: Final = 128
_WIDE: Final = 512


def build_head(detector: str, levels: Sequence[Level], num_classes: int, size: int) -> Head:
    """Build the head of a detector.

    Args:
        detector: `fcos`, `retinanet`, `fasterrcnn` or `ssdlite`.
        levels: Form of the body's maps.
        num_classes: Without background.
        size: Pixels of the images' sides.
    """
    return _BUILDERS[detector](levels, num_classes, size)


def width_of(levels: Sequence[Level]) -> int:
    """Return the channels of the pyramid.

    256 as in torchvision's detectors; 64, as EfficientDet has on its smallest body, where the last
    map has fewer than 512 channels: on such bodies a wider head would be most of the work.
    """
    return 256 if levels[-1].channels >= _WIDE else 64


def _one_stage(
    kind: type[FCOS] | type[RetinaNet], levels: Sequence[Level], num_classes: int, size: int
) -> Head:
    """Return a detector that judges every place of its pyramid, P3 to P7."""
    width = width_of(levels)
    detector = kind(
        Given(width),
        num_classes,
        score_thresh=_LEAST_SCORE,
        detections_per_img=MOST_DETECTIONS,
    )
    neck = _pyramid(levels, width, LastLevelP6P7(width, width))
    return _head(levels, neck, detector, size, background=False)


def _fasterrcnn(levels: Sequence[Level], num_classes: int, size: int) -> Head:
    width = width_of(levels)
    detector = FasterRCNN(
        Given(width),
        num_classes + 1,
        rpn_post_nms_top_n_train=_PROPOSALS,
        rpn_post_nms_top_n_test=_PROPOSALS // 2,
        box_batch_size_per_image=_SAMPLED,
        box_score_thresh=_LEAST_SCORE,
        box_detections_per_img=MOST_DETECTIONS,
    )
    neck = _pyramid(levels, width, LastLevelMaxPool())
    return _head(levels, neck, detector, size, background=True)


def _ssdlite(levels: Sequence[Level], num_classes: int, size: int) -> Head:
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    extra = Further(levels[-1], norm)
    channels = [level.channels for level in levels] + extra.channels
    boxes = DefaultBoxGenerator([[2, 3]] * len(channels), min_ratio=0.2, max_ratio=0.95)
    places = boxes.num_anchors_per_location()
    detector = SSD(
        Given(channels),
        boxes,
        (size, size),
        num_classes + 1,
        head=SSDLiteHead(channels, places, num_classes + 1, norm),
        score_thresh=_LEAST_SCORE,
        nms_thresh=0.55,
        detections_per_img=MOST_DETECTIONS,
        topk_candidates=300,
    )
    return _head(levels, extra, detector, size, background=True)


_BUILDERS: Mapping[str, Callable[[Sequence[Level], int, int], Head]] = MappingProxyType(
    {
        "fcos": partial(_one_stage, FCOS),
        "retinanet": partial(_one_stage, RetinaNet),
        "fasterrcnn": _fasterrcnn,
        "ssdlite": _ssdlite,
    }
)


class Further(nn.Module):
    """Maps behind the body's, each half as large, down to one place: the extras of SSDLite.

    Args:
        last: The body's last map.
        norm: Makes a batch norm.

    Attributes:
        channels: Of the maps that it adds.
    """

    _DEPTHS = (512, 256, 256, 128)

    def __init__(self, last: Level, norm: Callable[..., nn.Module]) -> None:
        super().__init__()
        num = min(len(self._DEPTHS), math.ceil(math.log2(max(last.height, last.width, 1))))
        self.channels = list(self._DEPTHS[:num])
        before = [last.channels, *self.channels]
        self.blocks = nn.ModuleList(
            _halving(one, other, norm) for one, other in zip(before, self.channels, strict=False)
        )

    def forward(self, maps: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        """Return the maps and those behind them."""
        found = OrderedDict(maps)
        for block in self.blocks:
            found[str(len(found))] = block(next(reversed(found.values())))
        return found


def _halving(before: int, after: int, norm: Callable[..., nn.Module]) -> nn.Sequential:
    """Return 1 x 1, depthwise 3 x 3 of stride 2, 1 x 1, as in torchvision's SSDLite."""
    made = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
    middle = after // 2
    block = nn.Sequential(
        made(before, middle, kernel_size=1),
        made(middle, middle, kernel_size=3, stride=2, groups=middle),
        made(middle, after, kernel_size=1),
    )
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.03)
    return block


def _pyramid(levels: Sequence[Level], width: int, extra: Any) -> FeaturePyramidNetwork:
    return FeaturePyramidNetwork([level.channels for level in levels], width, extra_blocks=extra)


def _head(
    levels: Sequence[Level], neck: nn.Module, detector: nn.Module, size: int, *, background: bool
) -> Head:
    detector.transform = Prepared()
    return Head(levels, neck, detector, size, background=background)
