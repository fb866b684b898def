"""What a network is besides its tensors, so that a change of it is noticed."""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections.abc import Mapping, Sequence, Set
from typing import Final

import torch
from torch import Tensor, nn

Structure = tuple[object, ...]

# What the engine changes without changing the function, and what torch keeps apart.
_PASSING: Final = {"training", "inplace", "_compiled_call_impl", "_parameters", "_buffers"}
_OWN: Final = "sftbench.models."  # hooks and forward passes that are quicker, and the same
_DEPTH: Final = 8
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def structure_of(network: nn.Module) -> Structure:
    """Describe modules, their attributes, hooks and tensors' shapes, for comparison in a process.

    A copy has the structure of its original; memory format, device, train and eval mode are no
    part of it. It is a guard: what an object hides from Python is not seen.
    """
    names = {id(module): name for name, module in network.named_modules()}
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return (
        *((name, type(tensor), tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors),
        *(_of_module(module, names) for module in network.modules()),
    )


def described(network: nn.Module) -> str:
    """Return a SHA-256 of how the network prints itself, the same in every process."""
    return hashlib.sha256(_ADDRESS.sub("", repr(network)).encode()).hexdigest()


def _of_module(module: nn.Module, names: Mapping[int, str]) -> Structure:
    values = [
        (key, _of(value, names, 0))
        for key, value in module.__dict__.items()
        if key not in _PASSING and not _is_own(value)
    ]
    # A quicker class in place of the library's is no change.
    kind = next(cls for cls in type(module).__mro__ if not cls.__module__.startswith(_OWN))
    return kind, names[id(module)], *values


def _is_own(value: object) -> bool:
    home = value.__module__ if isinstance(value, types.FunctionType) else type(value).__module__
    return str(home).startswith(_OWN) and callable(value) and not isinstance(value, nn.Module)


def _of(value: object, names: Mapping[int, str], depth: int) -> object:
    if depth > _DEPTH:
        return type(value)
    if isinstance(value, nn.Module):
        return ("module", names.get(id(value), type(value)))
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return (value.dtype, tuple(value.shape), hashlib.sha256(content.data).digest())
    if isinstance(value, Set):
        return (type(value), sorted(map(repr, value)))
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str | bytes):
        return (type(value), _of_items(value, names, depth))
    return _of_object(value, names, depth)


def _of_items(
    value: Mapping[object, object] | Sequence[object], names: Mapping[int, str], depth: int
) -> object:
    if isinstance(value, Sequence):
        return [_of(item, names, depth + 1) for item in value]
    # Hooks are kept under numbers that count on, so their keys mean nothing.
    return [
        (None if isinstance(key, int) else str(key), _of(item, names, depth + 1))
        for key, item in value.items()
        if not _is_own(item)
    ]


def _of_object(value: object, names: Mapping[int, str], depth: int) -> object:
    if isinstance(value, types.MethodType):
        return (value.__func__, _of(value.__self__, names, depth + 1))
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, value.keywords)
        return [_of(part, names, depth + 1) for part in parts]
    if isinstance(value, str | bytes | type | types.FunctionType | types.BuiltinFunctionType):
        return value
    inside = getattr(value, "__dict__", None) or {
        name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())
    }
    if inside:
        return (type(value), _of(inside, names, depth + 1))
    return (type(value), _ADDRESS.sub("", repr(value)))
