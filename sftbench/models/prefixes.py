"""What is known of the first blocks of a network, so that it is not found out anew each time.

Hashing a network takes 10 to 100 ms. That of a cell is a copy of one that the worker keeps, whose
tensors were hashed once. torch counts no changes through `.data`, by fused optimisers, or of
batch-norm statistics; so the engine also says when anything may have changed them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from sftbench.contracts.backbone import Network
from sftbench.models.copying import copy_network
from sftbench.models.freezing import (
    joined_digest,
    prefix_digest,
    state_digest,
    stored_bytes,
    tensors_of,
)
from sftbench.models.model import Model
from sftbench.models.structure import described, structure_of


class Original:
    """A network as its backbone and its weights made it; cells get copies.

    Args:
        network: A `Network`, which nobody changes from now on.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._prefixes: dict[int, str] = {}

    def copy(self) -> nn.Module:
        """Return a network of its own for one cell."""
        return copy_network(self._network)

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 by name of every parameter and buffer."""
        return {name: state_digest([("", tensor)]) for name, tensor in tensors_of(self._network)}

    @cached_property
    def structure(self) -> object:
        """What the network is besides its tensors."""
        return structure_of(self._network)

    @cached_property
    def description(self) -> str:
        """SHA-256 of how the network prints itself, the same in every process."""
        return described(self._network)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer by name."""
        return dict(tensors_of(self._network))

    def prefix(self, k: int) -> str:
        """Return the digest of the first k blocks."""
        if k not in self._prefixes:
            block_of = cast(Network, self._network).block_of
            names = [name for name in self.digests if block_of(name) < k]
            self._prefixes[k] = joined_digest((name, self.digests[name]) for name in names)
        return self._prefixes[k]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A tensor at a time: the object, torch's count of its changes, where its bytes lie."""

    tensor: Tensor
    version: int
    place: int

    def holds(self, tensor: Tensor) -> bool:
        return (
            tensor is self.tensor
            and tensor._version == self.version  # noqa: SLF001 - torch documents it
            and tensor.data_ptr() == self.place
        )


class Known:
    """What is known of a cell's network at a time.

    Args:
        network: As it was given to the cell.
        original: What it is a copy of; None for random weights.

    Attributes:
        original: The same.
        is_adapted: Whether the cell changed what the network is besides its tensors.
    """

    def __init__(self, network: nn.Module, original: Original | None) -> None:
        self.original = original
        self.is_adapted = False
        self._structure = structure_of(network) if original is None else original.structure
        self._as_it_was: nn.Module | None = None
        self._marks: dict[str, _Mark] = {}
        self._found: dict[int, tuple[str, bool]] = {}
        self._is_copy = False

    def begin(self, network: nn.Module, *, is_given: bool) -> None:
        """Take note of the network as training will find it.

        Args:
            network: On its device.
            is_given: Only the engine had it so far, so every tensor is as in the original.
        """
        if not is_given:
            structure = structure_of(network)
            self.is_adapted = structure != self._structure
            self._structure = structure
        self._as_it_was = network
        self._is_copy = is_given and self.original is not None
        self._mark(network)

    def forget(self) -> None:
        """Trust nothing: code that is not the engine's had the model, or blocks were trained."""
        self._marks = {}
        self._found = {}
        self._as_it_was = None
        self._is_copy = False

    def is_as_it_was(self, model: Model) -> bool:
        """Tell whether the backbone is built as when the cell began, whatever its tensors."""
        if model.backbone is not self._as_it_was:
            if structure_of(model.backbone) != self._structure:
                return False
            self._as_it_was = model.backbone
        return True

    def digest(self, model: Model, k: int) -> tuple[str, bool]:
        """Return the digest of the first k blocks, and whether they are those of the original."""
        known = self._found.get(k)
        if known is None and self._is_copy and self.original is not None:
            known = self.original.prefix(k), True
        if known is not None and self._holds(model.backbone):
            return known
        if not self._holds(model.backbone):
            self._found, self._is_copy = {}, False
            self._mark(model.backbone)
        found = prefix_digest(model, k)
        is_original = self.original is not None and found == self.original.prefix(k)
        self._found[k] = found, is_original
        return self._found[k]

    def changed_bytes(self, model: Model) -> int:
        """Return the bytes of all tensors of a model that are not among those it started from.

        A tensor that a strategy gave another name counts as the same where its bits are.
        """
        given = {} if self.original is None else self.original.tensors
        by_kind: dict[object, list[Tensor]] = {}
        for tensor in given.values():
            by_kind.setdefault((tensor.shape, tensor.dtype), []).append(tensor)

        def is_given(name: str, tensor: Tensor) -> bool:
            if type(tensor) is not Tensor:
                return False  # quantised, say
            others = by_kind.get((tensor.shape, tensor.dtype), [])
            named = given.get(name)
            if any(other is named for other in others):
                return torch.equal(tensor, cast(Tensor, named))
            return any(torch.equal(tensor, other) for other in others)

        # Where nobody touched the backbone, comparing it would only cost time.
        untouched = self._is_copy and self._holds(model.backbone)
        prefix = "backbone."
        return sum(
            stored_bytes(tensor)
            for name, tensor in model.state_dict().items()
            if not (untouched and name.startswith(prefix))
            and not is_given(name.removeprefix(prefix), tensor.detach().cpu())
        )

    def _mark(self, network: nn.Module) -> None:
        self._marks = {name: _marked(tensor) for name, tensor in tensors_of(network)}

    def _holds(self, network: nn.Module) -> bool:
        """Tell whether every tensor is the object that was marked, and looks untouched."""
        tensors = tensors_of(network)
        return len(tensors) == len(self._marks) and all(
            name in self._marks and self._marks[name].holds(tensor) for name, tensor in tensors
        )


def _marked(tensor: Tensor) -> _Mark:
    return _Mark(tensor, tensor._version, tensor.data_ptr())  # noqa: SLF001 - see above
