"""How a network lies in memory and meets it: choices of speed that leave its function as it is."""

from __future__ import annotations

import torch
from torch import nn

from sftbench.models.depthwise import speed_up_depthwise

# Their backward pass needs what they were given, so torch clones it before it works in place.
_CLONED = (nn.Hardtanh, nn.Hardswish, nn.Mish, nn.SiLU)


def prefers_channels_last(module: nn.Module) -> bool:
    """Tell whether the network has spatial convolutions, for which channels-last is fast."""
    return any(isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1) for m in module.modules())


def to_device(module: nn.Module, device: torch.device, *, channels_last: bool) -> nn.Module:
    """Move a module to the device, with its convolutions in the memory format named."""
    module.to(device)
    if channels_last:
        module.to(memory_format=torch.channels_last)
    spare_clones(module)
    if device.type == "cpu":
        speed_up_depthwise(module)
    return module


def spare_clones(module: nn.Module) -> None:
    """Let activations that may work in place do so only where no gradient is wanted.

    There it saves memory traffic; elsewhere it costs a clone of the input.
    """
    for child in module.modules():
        if isinstance(child, _CLONED) and child.inplace:
            child.register_forward_pre_hook(_in_place_without_gradients)


def _in_place_without_gradients(module: nn.Module, _args: object) -> None:
    module.inplace = not torch.is_grad_enabled()  # type: ignore[assignment]
