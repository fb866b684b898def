"""The networks: any convolutional backbone of sftbench, up to its feature maps, and a head's name.

The head is torchvision's own module, or a U-Net's decoder (`heads.py`); the task builds it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sftbench.api import BlockBackbone, PyramidBackbone, PyramidNetwork, RequestError
from sftbench.names import cause
from sftbench_segmentation import heads
from sftbench_segmentation.dilation import dilate


class MapsNetwork(PyramidNetwork):
    """Feature maps, and the head that belongs to them.

    Args:
        body: The network of ordered blocks.
        example: Images [1, 3, S, S].
        strides: Of the maps, ascending.
        kind: Builds the head.
    """

    def __init__(
        self, body: BlockBackbone, example: Tensor, strides: tuple[int, ...], kind: heads.Kind
    ) -> None:
        super().__init__(body, example, strides)
        self._kind = kind
        self._size = int(example.shape[-1])

    def segmentation_head(self, num_classes: int) -> nn.Module:
        """Build a head with random weights: packed maps [B, L] to logits [B, C, S, S]."""
        return heads.Head(self.levels, self._size, num_classes, self._kind)


class _Segmenter(PyramidBackbone):
    """A `PyramidBackbone` for segmentation.

    Attributes:
        choices: Strides of the maps; the first that the body has.
        output_stride: Convolutions behind the map of this stride are dilated instead of strided;
            None: none is.
        kind: Builds the head.
    """

    tasks = ("segmentation",)
    choices: ClassVar[tuple[tuple[int, ...], ...]]
    output_stride: ClassVar[int | None] = None
    kind: ClassVar[heads.Kind]

    def build(self, image_size: int) -> nn.Module:
        """Build the network, up to its last map.

        Raises:
            RequestError: The body has no such maps.
        """
        body = self.made_of.build(image_size)
        example = torch.zeros(1, 3, image_size, image_size)
        problem = f"its network is a {type(body).__name__}, not a BlockBackbone"
        if isinstance(body, BlockBackbone):
            try:
                if self.output_stride is not None:
                    body = dilate(body, example, self.output_stride)
            except (RuntimeError, TypeError, ValueError) as error:
                problem = f"it cannot be dilated ({cause(error)}); unet:BODY needs no dilation"
            else:
                for strides in self.choices:
                    try:
                        return MapsNetwork(body, example, strides, type(self).kind)
                    except ValueError as error:
                        problem = str(error)
        raise RequestError(
            f"backbone {self.reference!r} cannot be built at {image_size} pixels: {problem}"
        )


class Fcn(_Segmenter):
    """Long, Shelhamer and Darrell 2015, in torchvision's form: dilated to 1/8, one map.

    Source: arXiv:1411.4038; torchvision's `FCNHead`, without its auxiliary classifier.
    """

    name = "fcn"
    summary = "FCN over maps of 1/8, from any convolutional BODY"
    choices = ((8,),)
    output_stride = 8
    kind = heads.fcn


class DeepLabV3(_Segmenter):
    """Chen et al. 2017, in torchvision's form: dilated to 1/8, atrous spatial pyramid pooling.

    Source: arXiv:1706.05587; torchvision's `DeepLabHead`, without its auxiliary classifier.
    """

    name = "deeplabv3"
    summary = "DeepLabV3 over maps of 1/8 of a BODY"
    choices = ((8,),)
    output_stride = 8
    kind = heads.deeplabv3


class Lraspp(_Segmenter):
    """Howard et al. 2019, section 6.3, in torchvision's form: maps of 1/8 and, dilated, of 1/16.

    Source: arXiv:1905.02244; torchvision's `LRASPPHead`.
    """

    name = "lraspp"
    summary = "LR-ASPP over maps of 1/8 and 1/16 of a BODY"
    choices = ((8, 16),)
    output_stride = 16
    kind = heads.lraspp


class UNet(_Segmenter):
    """Ronneberger, Fischer and Brox 2015, with the body as its contracting path.

    Maps of 1/2 to 1/32; of 1/4 to 1/32 where the body's first block ends there (ResNets).

    Source: arXiv:1505.04597, figure 1. Here convolutions are padded and have batch norm, and
    upsampling is bilinear.
    """

    name = "unet"
    summary = "U-Net over every map of a BODY, down to 1/32"
    choices = ((2, 4, 8, 16, 32), (4, 8, 16, 32))
    kind = heads.unet
