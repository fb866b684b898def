"""Run a network up to a boundary between two of its modules, or from there on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """What a skipped module gave: `rows` per image (None: it does not scale) and the rest."""

    rows: int | None
    shape: tuple[int, ...]
    dtype: torch.dtype

    def filled(self, like: Tensor, fill: float) -> Tensor:
        """A tensor of this shape for as many images as `like` has; it takes no memory."""
        is_float = self.dtype.is_floating_point
        value = like.new_full((), fill if is_float else 0, dtype=None if is_float else self.dtype)
        first = () if self.rows is None else (self.rows * like.shape[0],)
        return value.expand(*first, *self.shape)


@dataclass(frozen=True)
class Cut:
    """A boundary: the module whose output it is, and what must not run before it.

    Attributes:
        names: The boundary module's names (several where the model registers it twice).
        skipped: For each module that runs before: its names, its outputs, and whether it also runs
            after the boundary.
        end: When the boundary module ended.
    """

    names: tuple[str, ...]
    skipped: tuple[tuple[tuple[str, ...], tuple[Any, ...], bool], ...]
    end: int


class _ForwardStopped(BaseException):  # no `except Exception` inside a model may swallow it
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


class _StandIn(nn.Module):
    """Returns given outputs in place of a module; any other attribute is the module's own."""

    def __init__(self, original: nn.Module, outputs: Sequence[Any], *, then_original: bool) -> None:
        super().__init__()
        self.__dict__["original"] = original  # not registered: it is no child
        self.outputs = outputs
        self.then_original = then_original
        self.num_calls = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.num_calls += 1
        if self.num_calls > len(self.outputs) and self.then_original:
            return self.__dict__["original"](*args, **kwargs)
        return self.outputs[min(self.num_calls, len(self.outputs)) - 1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["original"], name)

    def __iter__(self) -> Iterator[nn.Module]:
        yield self  # timm's gradient checkpointing iterates over stages instead of calling them


@contextmanager
def skipping(model: nn.Module, cut: Cut, h: Tensor, fill: float = 0.0) -> Iterator[list[_StandIn]]:
    """Let the model's next forward start at `cut` with `h`."""

    def fill_shape(value: object) -> object:
        return value.filled(h, fill) if isinstance(value, Shape) else value

    places: list[tuple[nn.Module, str, nn.Module, _StandIn]] = []
    stand_ins: list[_StandIn] = []
    for names, outputs, then_original in (*cut.skipped, (cut.names, (h,), False)):
        filled = [map_nested(fill_shape, output) for output in outputs]
        original = model.get_submodule(names[0])
        stand_ins.append(_StandIn(original, filled, then_original=then_original))
        for name in names:
            parent, _, child = name.rpartition(".")
            places.append((model.get_submodule(parent), child, original, stand_ins[-1]))
    try:
        for module, child, _, stand_in in places:
            setattr(module, child, stand_in)
        yield stand_ins
    finally:
        for module, child, original, _ in places:
            setattr(module, child, original)


def run_to(model: nn.Module, x: Tensor, cut: Cut) -> Tensor:
    """Run the model on x up to `cut` and return the tensor there."""

    def stop(_module: nn.Module, _args: object, output: Tensor) -> None:
        raise _ForwardStopped(output)

    handle = model.get_submodule(cut.names[0]).register_forward_hook(stop)
    try:
        model(x)
    except _ForwardStopped as stopped:
        return stopped.output
    finally:
        handle.remove()
    raise not_run(model, cut)


def not_run(model: nn.Module, cut: Cut) -> RuntimeError:
    """The error for a network whose code takes another course than in the probe."""
    return RuntimeError(
        f"{type(model).__name__} no longer runs its module {cut.names[0]!r}; "
        "make a new BlockBackbone after changing a network"
    )


def map_nested(leaf: Callable[[Any], Any], value: Any) -> Any:
    """Apply `leaf` inside nested tuples, lists and dictionaries."""
    if isinstance(value, tuple | list):
        items = [map_nested(leaf, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: map_nested(leaf, item) for key, item in value.items()}
    return leaf(value)


def flat_features(model: nn.Module, output: object) -> Tensor:
    """The model's output as [B, D].

    Raises:
        ValueError: The output is no tensor [B, D] or [B, D, 1, 1].
    """
    if not isinstance(output, Tensor):
        found = f"a {type(output).__name__}"
    elif output.ndim < 2 or any(size != 1 for size in output.shape[2:]):
        found = f"shape {tuple(output.shape)}"
    else:
        return output.flatten(1)
    raise ValueError(
        f"{type(model).__name__} must give features [B, D], not {found}; "
        "remove its head and keep its pooling"
    )
