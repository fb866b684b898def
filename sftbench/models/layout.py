"""How a network lies in memory and meets it: choices of speed that leave its function as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def prefers_channels_last(module: nn.Module) -> bool:
    """Tell whether the network has spatial convolutions, for which channels-last is fast."""
    return any(isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1) for m in module.modules())


def to_device(module: nn.Module, device: torch.device, *, channels_last: bool) -> nn.Module:
    """Move a module to the device, with its convolutions in the memory format named."""
    module.to(device)
    if channels_last:
        module.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        trim_kernels(module)
    return module


def trim_kernels(module: nn.Module) -> None:
    """Let depthwise convolutions leave out the rim of a kernel that can only meet padding.

    A 5 x 5 kernel with padding 2 over a 2 x 2 map touches the map with its inner 3 x 3 alone; the
    rim multiplies zeros, and its gradient is zero. Without it the backward pass of oneDNN takes
    half the time; such maps stand at the end of mobile networks on small images.
    """
    for child in module.modules():
        if type(child) is nn.Conv2d and child.groups == child.in_channels > 1 and _same(child):
            child.__dict__["forward"] = _Trimmed(child)  # in place of the class's method


def _same(conv: nn.Conv2d) -> bool:
    """Tell whether a convolution keeps the size of its map by zeros around it."""
    return (
        conv.stride == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and all(size % 2 == 1 for size in conv.kernel_size)
        and conv.padding == tuple(size // 2 for size in conv.kernel_size)
    )


class _Trimmed:
    """The forward pass of one convolution, with the part of its kernel that meets the map."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.conv = conv

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        padding = []
        for axis, length in ((2, x.shape[-2]), (3, x.shape[-1])):
            pad = weight.shape[axis] // 2
            kept = min(pad, max(0, length - 1))
            if kept < pad:
                weight = weight.narrow(axis, pad - kept, 2 * kept + 1)
            padding.append(kept)
        return F.conv2d(x, weight, self.conv.bias, 1, tuple(padding), 1, self.conv.groups)
