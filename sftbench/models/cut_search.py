"""Cut any image network into ordered blocks, from stem to last, without knowing its architecture.

One probe forward records which modules run, when and inside which. Modules that a person would call
a block (residual blocks, transformer layers, convolutions of a plain network) are proposed as
blocks, and a boundary between two of them is kept only where everything after it depends on nothing
but the boundary's tensor: with every value from before it set to NaN, the rest must still give the
recorded result. A network that cannot be cut becomes one block.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from math import nan
from typing import Any

import torch
from torch import Tensor, nn

from sftbench.models.cuts import Cut, Shape, flat_features, map_nested, run_to, skipping

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SMALL = 4  # a run of at most so many layers is one stem or one block
_MODEL_ERRORS = (  # what a model may raise on the NaN that takes the place of skipped outputs
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(eq=False)
class _Call:
    """One call of a module during the probe; times count the starts and ends of calls."""

    name: str
    parent: _Call | None
    start: int
    end: int = -1
    output: Any = None  # with shapes in place of tensors
    tensor: Tensor | None = None  # where the output is one tensor with a row per image


@dataclass
class _Unit:
    """A module to keep whole, and its calls."""

    name: str
    module: nn.Module
    calls: list[_Call]

    def __post_init__(self) -> None:
        self.num_layers = _num_layers(self.module)
        self.has_parameters = any(True for _ in self.module.parameters())


def _shape_of(value: Any, batch: int) -> Any:
    if isinstance(value, Tensor):
        if value.ndim and value.shape[0] % batch == 0:
            return Shape(value.shape[0] // batch, tuple(value.shape[1:]), value.dtype)
        return Shape(None, tuple(value.shape), value.dtype)
    # Anything else could carry values of the probe's images: whoever uses it shall fail.
    return value if value is None or isinstance(value, bool | int | str) else object()


def _num_layers(module: nn.Module) -> int:
    """How many convolutions, linear layers and the like are inside (norms are none)."""
    return sum(
        any(sum(n > 1 for n in p.shape) > 1 for p in part.parameters(recurse=False))
        for part in module.modules()
    )


class Probe:
    """A structural copy of the model, its recorded calls, and the cuts that hold.

    The copy shares the parameters and nothing else, so that neither hooks, nor train and eval
    flags, nor buffers or caches of the real model are touched.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        self.model = copy.deepcopy(model, {id(p): p for p in model.parameters()}).eval()
        self.example = example
        names: dict[nn.Module, list[str]] = {}
        for name, module in self.model.named_modules(remove_duplicate=False):
            names.setdefault(module, []).append(name)
        self.aliases = {first: (first, *others) for first, *others in names.values()}
        self.has_state = {
            first: any(True for _ in chain(module.parameters(), module.buffers()))
            for module, (first, *_) in names.items()
        }
        self.calls: dict[str, list[_Call]] = {}  # by the module's first name
        self.whole_classes: set[type[nn.Module]] = set()  # never cut inside one of these
        self.features = self._record()
        self.units: list[_Unit] = []
        self.groups: list[list[_Unit]] = []
        self.cuts: list[Cut] = []

    def _record(self) -> Tensor:
        stack: list[_Call] = []
        clock = count()
        batch = len(self.example)

        def enter(name: str, _module: nn.Module, _args: object) -> None:
            stack.append(_Call(name, stack[-1] if stack else None, next(clock)))
            self.calls.setdefault(name, []).append(stack[-1])

        def leave(_module: nn.Module, _args: object, output: object) -> None:
            call = stack.pop()
            call.end = next(clock)
            call.output = map_nested(partial(_shape_of, batch=batch), output)
            if isinstance(output, Tensor) and output.is_floating_point() and output.ndim >= 2:
                call.tensor = output.clone() if len(output) == batch else None

        handles = []
        for name in self.aliases:
            module = self.model.get_submodule(name)
            handles.append(module.register_forward_pre_hook(partial(enter, name)))
            handles.append(module.register_forward_hook(leave))
        features = flat_features(self.model, self.model(self.example))
        for handle in handles:
            handle.remove()
        return features

    def find(self) -> None:
        """Propose blocks, keep the cuts that hold, and repeat while a class must stay whole."""
        while True:
            self._propose()
            inside: dict[str, list[bool]] = {}
            self.cuts = []
            for i in reversed(range(len(self.groups) - 1)):
                cut = self._cut_between(self.groups[i], self.groups[i + 1])
                stage = self._stage_of(self.groups[i], self.groups[i + 1])
                inside.setdefault(stage, []).append(cut is not None)
                if cut is None:
                    self.groups[i] += self.groups.pop(i + 1)
                else:
                    self.cuts.insert(0, cut)
            uncut = {n for n, held in inside.items() if n and not any(held)}
            if not uncut:
                return
            # A block taken for a stage; its siblings without a skip connection stay whole as well.
            self.whole_classes |= {type(self.model.get_submodule(name)) for name in uncut}

    def _propose(self) -> None:
        """Set `units` and `groups`: a group starts with a layer or block; norms etc. follow it."""
        found = [_Unit(n, self.model.get_submodule(n), self.calls[n]) for n in self._whole("")]
        found = [u for u in found if u.has_parameters or len(u.calls) == 1]  # no shared activation
        self.units = sorted(found, key=lambda unit: unit.calls[0].start)
        first_block = next((i for i, u in enumerate(self.units) if u.num_layers > 1), 0)
        if sum(unit.num_layers for unit in self.units[:first_block]) > _SMALL:
            first_block = 0  # a plain network like VGG: its first layers are blocks
        self.groups = [self.units[:first_block]]
        for unit in self.units[first_block:]:
            if unit.num_layers and any(u.num_layers for u in self.groups[-1]):
                self.groups.append([])
            self.groups[-1].append(unit)

    def _whole(self, name: str) -> Iterator[str]:
        module = self.model.get_submodule(name)
        if name in self.calls and name and not self._is_opened(module):
            yield name
        else:
            for child, _ in module.named_children():
                yield from self._whole(f"{name}.{child}" if name else child)

    def _is_opened(self, module: nn.Module) -> bool:
        """Whether to look for blocks inside: containers, and stages that hold a list of blocks."""
        children = list(module.children())
        if isinstance(module, _CONTAINERS):
            return _num_layers(module) > _SMALL or any(_num_layers(m) > 1 for m in children)
        if type(module) in self.whole_classes or not children:
            return False
        lists = [child.children() for child in children if isinstance(child, _CONTAINERS)]
        if any(_num_layers(block) > 1 for block in chain(*lists)):
            return True  # the stage has a list of blocks
        numbered = all(name[-1].isdigit() for name, _ in module.named_children())
        return numbered and all(_num_layers(m) > 1 for m in children)  # RegNet's b1, b2, ...

    def _stage_of(self, before: list[_Unit], after: list[_Unit]) -> str:
        """The innermost module around both, containers not counted; the model itself is ""."""
        name = _common_parent([before[-1].name, after[0].name])
        while name and isinstance(self.model.get_submodule(name), _CONTAINERS):
            name = name.rpartition(".")[0]
        return name

    def _cut_between(self, before: list[_Unit], after: list[_Unit]) -> Cut | None:
        """The last boundary that holds after one group and before the next."""
        earliest = max((u.calls[-1].end for u in before if u.has_parameters), default=0)
        latest = after[0].calls[0].start
        ends = {
            call.end: call
            for unit in self.units
            for name in with_parents(unit.name)
            if len(self.calls.get(name, ())) == 1
            for call in self.calls[name]
            if call.tensor is not None and earliest <= call.end < latest
        }
        for call in sorted(ends.values(), key=self._preference, reverse=True):
            cut = self._cut_at(call)
            if cut is not None and self._holds(cut):
                return cut
        return None

    def _preference(self, call: _Call) -> tuple[bool, int]:
        """Late calls first, but a Sequential after its last child, whose output it returns.

        Gradient checkpointing calls the children of a Sequential without calling itself.
        """
        return type(self.model.get_submodule(call.name)) is not nn.Sequential, call.end

    def _cut_at(self, boundary: _Call) -> Cut | None:
        around = [boundary]
        while around[-1].parent is not None:
            around.append(around[-1].parent)
        skipped = []
        for name, calls in self.calls.items():
            if calls[0].start > boundary.start:
                break  # calls are in the order of their starts
            runs_after = calls[-1].start > boundary.end
            if runs_after and calls[0].end <= boundary.end and self.has_state[name]:
                return None  # one module on both sides
            before = [c for c in calls if c.end < boundary.start and c.parent in around]
            if before and any(call in around for call in calls):
                return None
            if before:
                outputs = tuple(call.output for call in before)
                skipped.append((self.aliases[name], outputs, runs_after))
        return Cut(self.aliases[boundary.name], tuple(skipped), boundary.end)

    def _tensor_at(self, cut: Cut) -> Tensor:
        tensor = self.calls[cut.names[0]][0].tensor
        assert tensor is not None, cut.names[0]  # noqa: S101 - chosen for having one
        return tensor

    def _holds(self, cut: Cut) -> bool:
        """Whether the rest gives the recorded result from the cut's tensor and nothing else.

        Checked up to the next cut, which holds already, so that all checks together cost about one
        forward; and with another batch size than the probe's.
        """
        following = self.cuts[0] if self.cuts else None
        at_following = self.features if following is None else self._tensor_at(following)
        expected, h = _other_batch(at_following), _other_batch(self._tensor_at(cut))
        kept = h.clone()
        x = Shape(1, tuple(self.example.shape[1:]), self.example.dtype).filled(h, nan)
        try:
            with skipping(self.model, cut, h, nan) as stand_ins:
                if following is None:
                    result = flat_features(self.model, self.model(x))
                else:
                    result = run_to(self.model, x, following)
        except _MODEL_ERRORS:
            return False
        return (
            all(stand_in.num_calls >= len(stand_in.outputs) for stand_in in stand_ins)
            and torch.equal(h, kept)  # an in-place layer behind the cut would spoil cached tensors
            and result.shape == expected.shape
            and torch.allclose(result, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))
        )

    def block_names(self) -> tuple[str, ...]:
        """The blocks' names after `find`."""
        return ("stem", *(self._name_of(group) for group in self.groups[1:]))

    def _name_of(self, group: list[_Unit]) -> str:
        names = [unit.name for unit in group if unit.num_layers] or [group[0].name]
        common = _common_parent(names)
        if len(names) == 1:
            return names[0]
        if common and all(u in group for u in self.units if u.name.startswith(f"{common}.")):
            return common
        return f"{names[0]}..{names[-1]}"

    def first_blocks(self) -> dict[str, int]:
        """For each module that runs, the block in which it first does."""
        ends = [cut.end for cut in self.cuts]
        return {
            name: bisect_left(ends, calls[0].start)
            for first, calls in self.calls.items()
            for name in self.aliases[first]
        }


def with_parents(name: str) -> Iterator[str]:
    """The module's name, then those of the modules around it, the model itself left out."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _common_parent(names: Sequence[str]) -> str:
    """The innermost module that holds all these modules."""
    shared = [set(with_parents(name.rpartition(".")[0])) for name in names]
    return max(set.intersection(*shared), key=len, default="")


def _other_batch(tensor: Tensor) -> Tensor:
    """The same images in another batch size: one of several, or one twice."""
    return tensor[:1] if len(tensor) > 1 else torch.cat([tensor, tensor])
