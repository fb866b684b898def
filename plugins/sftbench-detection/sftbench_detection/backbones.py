"""Detectors on any backbone: `fcos:BODY` and its like."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from torch import nn

from sftbench.api import PyramidBackbone, RequestError

_COARSEST: Final = 32


class _Detector(PyramidBackbone):
    """Feature maps of another backbone; `name` is also that of the detector."""

    tasks: ClassVar[tuple[str, ...]] = ("detection",)

    def build(self, image_size: int) -> nn.Module:
        """Build the body, up to its last map.

        Raises:
            RequestError: It has no such maps, or the size does not fit them.
        """
        if image_size % _COARSEST:
            fitting = _COARSEST * max(1, round(image_size / _COARSEST))
            raise RequestError(
                f"backbone {self.reference!r} takes images whose sides are multiples of "
                f"{_COARSEST} pixels, not {image_size}; set image_size = {fitting}"
            )
        network: Any = super().build(image_size)
        network.detector, network.image_size = self.name, image_size  # the head is built of them
        made: nn.Module = network
        return made


class Fcos(_Detector):
    """FCOS: a box from each place of the maps, without anchors.

    Source: Tian et al. 2019, "FCOS: Fully Convolutional One-Stage Object Detection",
    arXiv:1904.01355; by torchvision.
    """

    name = "fcos"
    summary = "FCOS on the feature maps of another backbone"
    strides: ClassVar[tuple[int, ...]] = (8, 16, 32)


class RetinaNet(_Detector):
    """RetinaNet: anchors, and the focal loss.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002; by
    torchvision.
    """

    name = "retinanet"
    summary = "RetinaNet on the feature maps of another backbone"
    strides: ClassVar[tuple[int, ...]] = (8, 16, 32)


class FasterRcnn(_Detector):
    """Faster R-CNN: proposals first, then a look at each.

    Source: Ren et al. 2015, "Faster R-CNN", arXiv:1506.01497; with a feature pyramid as Lin et al.
    2016, arXiv:1612.03144; by torchvision.
    """

    name = "fasterrcnn"
    summary = "Faster R-CNN on the feature maps of another backbone"
    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)


class SsdLite(_Detector):
    """SSDLite: default boxes on six maps, with depthwise convolutions.

    Source: Sandler et al. 2018, "MobileNetV2", arXiv:1801.04381, section 6.2; by torchvision.
    """

    name = "ssdlite"
    summary = "SSDLite on the feature maps of another backbone"
    strides: ClassVar[tuple[int, ...]] = (16, 32)
