"""The layers of an encoder of transformers, found by watching it run once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sftbench.names import cause

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a model, which run one after another, each once.

    Attributes:
        parent: The module that holds their list.
        attribute: The list's name in it.
        path: The list's name in the model, with a dot behind it.
        modules: The layers.
        behind: Names of modules that first run behind the last layer, with a dot.
    """

    parent: nn.Module
    attribute: str
    path: str
    modules: nn.ModuleList
    behind: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names for people."""
        return tuple(f"layer.{number}" for number in range(len(self.modules)))

    def block_of(self, name: str) -> int:
        """Return the block of a tensor of the model: 0 for what is in no layer."""
        if name.startswith(self.path):
            return 1 + int(name.removeprefix(self.path).partition(".")[0])
        return len(self.modules) if name.startswith(self.behind) else 0

    @contextmanager
    def without_first(self, count: int) -> Iterator[None]:
        """Let the model have all but its first layers."""
        setattr(self.parent, self.attribute, nn.ModuleList([*self.modules][count:]))
        try:
            yield
        finally:
            setattr(self.parent, self.attribute, self.modules)


def find_layers(model: nn.Module, tokens: Tensor) -> Layers | None:
    """Return the layers of an encoder, or None where it has none that can be entered.

    Args:
        model: It is left as it is, in its train or eval mode.
        tokens: int64 [B, T], a batch for a pass.
    """
    config: Any = model.config
    wanted = getattr(config, "num_hidden_layers", 0)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            for name, module in list(model.named_modules()):
                if isinstance(module, nn.ModuleList) and len(module) == wanted > 0:
                    found = _watched(model, name, module, tokens)
                    if found is not None and _can_be_entered(model, found, tokens):
                        return found
    finally:
        for module, mode in modes.items():
            module.training = mode
    _log.info("%s: its layers cannot be told apart; it is one block", type(model).__name__)
    return None


def _watched(model: nn.Module, path: str, layers: nn.ModuleList, tokens: Tensor) -> Layers | None:
    """Run a model once, and see whether its layers run in order, each once."""
    ran: list[nn.Module] = []
    names = {id(module): name for name, module in model.named_modules()}
    handles = [
        module.register_forward_pre_hook(lambda module, _args: ran.append(module))
        for module in model.modules()
    ]
    try:
        model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    finally:
        for handle in handles:
            handle.remove()
    order = [module for module in ran if any(module is layer for layer in layers)]
    if len(order) != len(layers) or any(a is not b for a, b in zip(order, layers, strict=True)):
        return None
    inside = {id(module) for layer in layers for module in layer.modules()}
    last = max(place for place, module in enumerate(ran) if id(module) in inside)
    before = {id(module) for module in ran[:last]}
    behind = [names[id(m)] + "." for m in ran[last + 1 :] if id(m) not in before]
    parent, _, attribute = path.rpartition(".")
    return Layers(model.get_submodule(parent), attribute, f"{path}.", layers, tuple(behind))


def _can_be_entered(model: nn.Module, found: Layers, tokens: Tensor) -> bool:
    """Try whether the model gives the same when it begins at its last layer."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept.append(args[0] if args else kwargs["hidden_states"])

    def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (kept[0], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": kept[0]}

    mask = torch.ones_like(tokens)
    last = found.modules[len(found.modules) - 1]
    try:
        handle = last.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            whole = model(input_ids=tokens, attention_mask=mask).last_hidden_state
        finally:
            handle.remove()
        handle = last.register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with found.without_first(len(found.modules) - 1):
                blank = torch.zeros_like(tokens)
                part = model(input_ids=blank, attention_mask=mask).last_hidden_state
        finally:
            handle.remove()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's model raises, it is one block
        _log.info("%s: no way into its layers (%s)", type(model).__name__, cause(error))
        return False
    return bool(torch.allclose(whole, part, rtol=0, atol=1e-5 * max(1.0, float(whole.abs().max()))))
