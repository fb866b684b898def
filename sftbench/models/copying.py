"""Copies of a network: what `copy.deepcopy` gives, in a fraction of its time."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

_LEAVES: Final = frozenset(
    (str, bytes, int, float, bool, type(None), torch.dtype, torch.Size, torch.device, type)
)


def copy_network(network: nn.Module) -> nn.Module:
    """Return a deep copy that shares no memory with the network.

    Most of what `deepcopy` does for a network is looking at empty tables of hooks and at numbers.
    Here modules, parameters and such things are copied directly, and everything else by it. A
    module that says itself how it is copied makes the whole a matter for `deepcopy`.
    """
    modules = list(network.modules())
    places = [tensor.data_ptr() for tensor in _tensors(modules) if tensor.numel()]
    are_tied = len(set(places)) < len(places)  # other than by being one object
    if are_tied or any(_is_special(type(module)) for module in modules):
        return copy.deepcopy(network)
    memo: dict[int, Any] = {}
    for module in modules:
        memo[id(module)] = type(module).__new__(type(module))
    for module in modules:
        attributes = {key: _copied(value, memo) for key, value in module.__dict__.items()}
        memo[id(module)].__dict__.update(attributes)
    made: nn.Module = memo[id(network)]
    return made


def _tensors(modules: Iterable[nn.Module]) -> list[Tensor]:
    """Return every parameter and buffer once."""
    tables = [table for m in modules for table in (m._parameters, m._buffers)]  # noqa: SLF001
    found = {id(t): t for table in tables for t in table.values() if t is not None}
    return list(found.values())


def _is_special(kind: type[nn.Module]) -> bool:
    """Tell whether a class has a say in how it is copied; torch's own only mend old pickles."""
    ways = [
        getattr(kind, name, None)
        for name in ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    ]
    usual = (nn.Module.__reduce__, nn.Module.__reduce_ex__, getattr(nn.Module, "__getstate__", 0))
    return hasattr(kind, "__slots__") or not all(
        way is None or way in usual or str(getattr(way, "__module__", "")).startswith("torch.nn.")
        for way in ways
    )


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _LEAVES:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if kind is tuple and all(type(item) in _LEAVES for item in value):
        return value
    if kind is dict or kind is OrderedDict:
        table: dict[Any, Any] = kind()
        memo[id(value)] = table
        for key, item in value.items():
            table[key] = _copied(item, memo)
        return table
    if kind in {nn.Parameter, Tensor} and value.grad is None and _is_plain(value):
        tensor = value.detach().clone(memory_format=torch.preserve_format)
        made = nn.Parameter(tensor) if kind is nn.Parameter else tensor
        made.requires_grad_(value.requires_grad)
        memo[id(value)] = made
        return made
    return copy.deepcopy(value, memo)


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is all of its storage, and nothing hangs on it."""
    whole = tensor.untyped_storage().nbytes() == tensor.nbytes
    is_hooked = tensor._backward_hooks  # noqa: SLF001 - there is no other name for it
    return whole and not is_hooked and not tensor.__dict__ and tensor.is_leaf
