"""Convolutions with holes in place of strides: larger maps, the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sftbench.api import BlockBackbone


def dilate(body: BlockBackbone, example: Tensor, output_stride: int) -> BlockBackbone:
    """Return the network with no map smaller than 1 / output_stride of the image.

    A convolution that would make a smaller one takes stride 1, and those behind it are dilated so
    that each still sees the places it was trained on, as `replace_stride_with_dilation` of
    torchvision and `output_stride` of timm do it. Parameters stay as they are.

    Source: Chen et al. 2017, arXiv:1706.05587, section 3.1.

    Args:
        body: It is changed; what is returned has its blocks found anew.
        example: Images [1, 3, S, S].
        output_stride: Of the smallest map.

    Raises:
        ValueError: What makes maps smaller is no convolution that can be dilated.
    """
    size = example.shape[-1]
    for conv, width in _widths(body, example):
        stride = max(1, round(size / width))
        rate = max(1, stride // output_stride)
        if conv.stride != (1, 1) and stride * conv.stride[0] > output_stride:
            if conv.kernel_size[0] % 2 == 0:
                raise ValueError(f"a strided convolution of {conv.kernel_size[0]} pixels")
            conv.stride = (max(1, output_stride // stride),) * 2
        if rate > 1 and conv.kernel_size != (1, 1):
            conv.dilation = (rate, rate)
            if not isinstance(conv.padding, str):
                conv.padding = (conv.padding[0] * rate, conv.padding[1] * rate)
    return BlockBackbone(body.model, example)


def _widths(body: BlockBackbone, example: Tensor) -> list[tuple[nn.Conv2d, int]]:
    """Return every convolution over a map with the map's width, in the order in which they run."""
    found: list[tuple[nn.Conv2d, int]] = []

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d) and args[0].shape[-1] > 1:
            found.append((module, args[0].shape[-1]))

    convs = [module for module in body.modules() if isinstance(module, nn.Conv2d)]
    handles = [conv.register_forward_pre_hook(note) for conv in convs]
    modes = {module: module.training for module in body.modules()}
    try:
        with torch.no_grad():
            body.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return found
