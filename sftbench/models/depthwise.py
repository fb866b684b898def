"""Depthwise convolutions on a CPU, where oneDNN's own way is slow: the same function, sooner."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional as F

# oneDNN (3.x) has a depthwise kernel for the weights' gradient up to this width, on maps not
# smaller than the kernel; elsewhere it takes one for dense convolutions, 4 to 30 times as slow.
_WIDTH = 3
# On larger maps the copies that the detour needs cost more than it saves.
_LARGEST_MAP = 32 * 32


def speed_up_depthwise(module: nn.Module) -> None:
    """Replace the forward pass of a module's depthwise convolutions by a faster one.

    They change their class and stay what else they are. (A forward pass of each object's own would
    be a reason to compile every copy of a network anew.)
    """
    for child in module.modules():
        if (
            isinstance(child, nn.Conv2d)
            and type(child) in _DETOURS
            and child.groups == child.in_channels == child.out_channels > 1
            and child.dilation == (1, 1)
            and child.padding_mode == "zeros"
            and not isinstance(child.padding, str)
        ):
            child.__class__ = _DETOURS[type(child)]


class _Detour(nn.Conv2d):
    """A depthwise convolution with its padding on both sides."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        weight, padding = self.weight, (int(self.padding[0]), int(self.padding[1]))
        if self.stride == (1, 1):
            weight, padding = _trim(weight, padding, input.shape)
        return _convolved(self, input, weight, padding)


class _DetourSame(Conv2dSame):
    """A depthwise convolution padded as TensorFlow does it."""

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_same(x, list(self.kernel_size), list(self.stride))
        return _convolved(self, padded, self.weight, (0, 0))


_DETOURS: dict[type[nn.Module], type[nn.Conv2d]] = {
    nn.Conv2d: _Detour,
    Conv2dSame: _DetourSame,
}


def _convolved(conv: nn.Conv2d, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    if _is_slow(x, weight):
        y: Tensor = _Depthwise.apply(x, weight, conv.stride, padding)
        return y if conv.bias is None else y + conv.bias[:, None, None]
    return F.conv2d(x, weight, conv.bias, conv.stride, padding, 1, conv.groups)


def _trim(
    weight: Tensor, padding: tuple[int, int], shape: torch.Size
) -> tuple[Tensor, tuple[int, int]]:
    """Leave out the rim of a kernel that can only meet padding, at stride 1.

    A 5 x 5 kernel with padding 2 over a 2 x 2 map touches the map with its inner 3 x 3 alone; the
    rim multiplies zeros, and its gradient is zero.
    """
    kept = list(padding)
    for axis in (0, 1):
        kernel, pad, length = weight.shape[axis + 2], padding[axis], shape[axis + 2]
        if kernel == 2 * pad + 1 and length <= pad:
            kept[axis] = length - 1
            weight = weight.narrow(axis + 2, pad - kept[axis], 2 * kept[axis] + 1)
    return weight, (kept[0], kept[1])


def _is_slow(x: Tensor, weight: Tensor) -> bool:
    """Tell whether oneDNN is slow at the gradient of these weights."""
    height, width = x.shape[-2:]
    return (
        torch.is_grad_enabled()
        and weight.requires_grad
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and height * width <= _LARGEST_MAP
        and (weight.shape[3] > _WIDTH or height < weight.shape[2] or width < weight.shape[3])
    )


class _Depthwise(torch.autograd.Function):
    """`conv2d` with one filter for each channel, and a gradient of the weights in narrow parts."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        [grad] = grads
        x, weight = ctx.saved_tensors
        to_input = to_weight = None
        if ctx.needs_input_grad[0]:
            to_input, _ = _gradients(grad, x, weight, ctx.stride, ctx.padding, of_input=True)
        if ctx.needs_input_grad[1]:
            to_weight = _gradient_of_weight(grad, x, weight, ctx.stride, ctx.padding)
        return to_input, to_weight, None, None


def _gradient_of_weight(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Cut the kernel into parts of at most `_WIDTH` columns; each sees its part of the map."""
    high, wide = (
        (grad.shape[axis + 2] - 1) * stride[axis] + weight.shape[axis + 2] for axis in (0, 1)
    )
    top, left = padding
    if padding != (0, 0):
        x = F.pad(x, (left, wide - left - x.shape[3], top, high - top - x.shape[2]))
    parts = []
    for start in range(0, weight.shape[3], _WIDTH):
        width = min(_WIDTH, weight.shape[3] - start)
        columns = x[:, :, :high, start : start + wide - weight.shape[3] + width]
        columns = columns.contiguous(memory_format=torch.channels_last)
        part = weight[..., start : start + width]
        parts.append(_gradients(grad, columns, part, stride, (0, 0), of_input=False)[1])
    return torch.cat(parts, dim=3)


def _gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    *,
    of_input: bool,
) -> tuple[Tensor, Tensor]:
    """Run torch's own backward pass, for the input or for the weights."""
    to_input, to_weight, _ = torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        bias_sizes=None,
        stride=stride,
        padding=padding,
        dilation=(1, 1),
        transposed=False,
        output_padding=(0, 0),
        groups=len(weight),
        output_mask=(of_input, not of_input, False),
    )
    return to_input, to_weight
