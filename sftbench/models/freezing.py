"""What trains and what stays: gradients, train and eval modes, and the frozen prefix."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from sftbench.models.model import Model


@contextmanager
def in_eval(module: nn.Module) -> Iterator[None]:
    """Run what is inside with a module in eval mode, and give every part its own mode back."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def choose_trainable(model: nn.Module, trainable: Callable[[str], bool]) -> list[str]:
    """Set `requires_grad` of every parameter and return the names of those that train."""
    names = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trainable(name))
        if parameter.requires_grad:
            names.append(name)
    return names


def set_modes(module: nn.Module, *, inherited: bool = True) -> None:
    """Put modules with a trainable parameter into train mode and all others into eval mode.

    A module without parameters (dropout) follows the module around it. `requires_grad=False`
    alone would not stop batch-norm statistics or dropout.
    """
    trains: dict[nn.Module, bool | None] = {}
    _find_trainable(module, trains)
    _set_modes(module, trains, inherited=inherited)


def _find_trainable(module: nn.Module, trains: dict[nn.Module, bool | None]) -> bool | None:
    """Note of each module whether a parameter in it trains; None where it has no parameter."""
    if module not in trains:
        trains[module] = None  # a module may be its own descendant's reference: look at it once
        own = [p.requires_grad for p in module._parameters.values() if p is not None]  # noqa: SLF001
        found = [*own, *(_find_trainable(child, trains) for child in module.children())]
        known = [one for one in found if one is not None]
        trains[module] = any(known) if known else None
    return trains[module]


def _set_modes(module: nn.Module, trains: dict[nn.Module, bool | None], *, inherited: bool) -> None:
    own = trains[module]
    module.training = inherited if own is None else own
    for child in module.children():
        _set_modes(child, trains, inherited=module.training)


def frozen_blocks(model: Model, trainable_names: Iterable[str]) -> int:
    """Return how many blocks stand before the first one with a trainable parameter."""
    blocks = [model.block_of(name) for name in trainable_names]
    return min((b for b in blocks if b is not None), default=model.network.num_blocks)


def prefix_digest(model: Model, k: int) -> str:
    """Return the SHA-256 over names, shapes and bits of all tensors in the first k blocks."""
    return joined_digest(
        (name, state_digest([("", tensor)]))
        for name, tensor in tensors_of(model.backbone)
        if model.network.block_of(name) < k
    )


def tensors_of(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Return parameters and buffers by name, those that no state dict has included."""
    return [
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ]


def joined_digest(digests: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 over names and digests of tensors."""
    hasher = hashlib.sha256()
    for name, digest in digests:
        hasher.update(f"{name}:{digest};".encode())
    return hasher.hexdigest()


def stored_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor; of one made of others (quantised), those of its parts."""
    if not is_traceable_wrapper_subclass(tensor):
        return tensor.numel() * tensor.element_size()
    names, _ = tensor.__tensor_flatten__()
    return sum(stored_bytes(getattr(tensor, name)) for name in names)


def state_digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 over names, types, shapes and bits of tensors."""
    hasher = hashlib.sha256()
    for name, tensor in tensors:
        flat = tensor.detach().contiguous().cpu()
        hasher.update(f"{name}:{flat.dtype}:{tuple(flat.shape)};".encode())
        hasher.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
