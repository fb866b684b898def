"""Weights as int8 with a scale for each output channel: rounded, stored, or both in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_LOWEST, _HIGHEST = -128, 127
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 [O, ...] and scales [O, 1, ...] of weights [O, ...]: q = round(w / s).

    s = max |w| / 127.5 of each output channel, and q is clamped to -128..127: the rule of torchao
    for symmetric quantisation, to the bit.
    """
    largest = weight.abs().flatten(1).amax(dim=1).reshape(-1, *[1] * (weight.ndim - 1))
    scale = (largest / ((_HIGHEST - _LOWEST) / 2)).clamp(min=torch.finfo(torch.float32).eps)
    return (weight * (1.0 / scale)).round().clamp(_LOWEST, _HIGHEST).to(torch.int8), scale


class Stored(nn.Module):
    """A parametrisation that keeps a weight as int8, and multiplies it by its scales in each pass.

    Args:
        weight: [O, ...].
    """

    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", rounded(weight.detach())[1])

    def forward(self, quantised: Tensor) -> Tensor:
        """Return the weight in the scales' type."""
        return quantised.to(self.scale.dtype) * self.scale

    def right_inverse(self, weight: Tensor) -> tuple[Tensor]:
        """Return what is kept of a weight: a tuple, since a tensor may not change its type."""
        return (rounded(weight.detach())[0],)


class Rounded(nn.Module):
    """A parametrisation that trains a weight as it will be once rounded.

    Gradients pass the rounding as if it were not there.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3; straight-through estimator of Bengio et al. 2013.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Return the rounded weight, with the gradient of the weight itself."""
        quantised, scale = rounded(weight.detach())
        return weight + (quantised.to(scale.dtype) * scale - weight).detach()


def store_convolutions(model: nn.Module) -> int:
    """Keep the weights of convolutions as int8; return how many numbers they are."""
    count = 0
    for module in list(model.modules()):
        if isinstance(module, CONVOLUTIONS):
            count += module.weight.numel()
            module.requires_grad_(requires_grad=False)
            parametrize.register_parametrization(module, "weight", Stored(module.weight))
    return count


def round_in_training(model: nn.Module) -> None:
    """Let convolutions and linear layers compute with rounded weights from now on."""
    for module in list(model.modules()):
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            parametrize.register_parametrization(module, "weight", Rounded())


def end_rounding(model: nn.Module) -> None:
    """Give the layers their own weights back, as they are before rounding."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
