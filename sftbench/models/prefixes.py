"""What is known of the first blocks of a network, so that it is not found out anew each time.

Hashing a network takes 10 to 100 ms. That of a cell is a copy of one that the worker keeps, whose
tensors were hashed once. torch counts no changes through `.data`, by fused optimisers, or of
batch-norm statistics; so the engine also says when anything may have changed them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from torch import Tensor, nn

from sftbench.contracts.backbone import Network
from sftbench.models.copying import copy_network
from sftbench.models.freezing import joined_digest, prefix_digest, state_digest, tensors_of
from sftbench.models.model import Model
from sftbench.models.structure import described, structure_of


class Original:
    """A network as its backbone and its weights made it; cells get copies.

    Args:
        network: A `Network`, which nobody changes from now on.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._prefixes: dict[int, tuple[str, frozenset[str]]] = {}

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

    def prefix(self, k: int) -> tuple[str, frozenset[str]]:
        """Return the digest of the first k blocks, and the names of their tensors."""
        if k not in self._prefixes:
            block_of = cast(Network, self._network).block_of
            names = [name for name in self.digests if block_of(name) < k]
            digest = joined_digest((name, self.digests[name]) for name in names)
            self._prefixes[k] = digest, frozenset(names)
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
        original: What it is a copy of; None for random weights.
        structure: Of the network as the cell starts, to be compared with later.
    """

    def __init__(self, original: Original | None, structure: object) -> None:
        self._original = original
        self._structure = structure
        self._marks: dict[str, _Mark] = {}
        self._is_clean = True

    def adopt(self, network: nn.Module) -> None:
        """Take note that every tensor is as in the original now: only the engine had it."""
        if self._original is not None:
            self._marks = {
                name: _Mark(tensor, tensor._version, tensor.data_ptr())  # noqa: SLF001
                for name, tensor in tensors_of(network)
            }

    def renew(self) -> None:
        """Take note that the engine wrote into tensors what they had held when they were noted."""
        self._marks = {
            name: _Mark(mark.tensor, mark.tensor._version, mark.tensor.data_ptr())  # noqa: SLF001
            for name, mark in self._marks.items()
        }

    def forget(self) -> None:
        """Trust nothing: code that is not the engine's had the model, or blocks were trained."""
        self._marks = {}
        self._is_clean = False

    def is_as_it_was(self, model: Model) -> bool:
        """Tell whether the backbone is built as when the cell began, whatever its tensors."""
        return self._is_clean or structure_of(model.backbone) == self._structure

    def digest(self, model: Model, k: int) -> tuple[str, bool]:
        """Return the digest of the first k blocks, and whether they are those of the original."""
        if self._original is None:
            return prefix_digest(model, k), False
        expected, names = self._original.prefix(k)
        tensors = dict(tensors_of(model.backbone))
        if self._marks and all(
            name in tensors and name in self._marks and self._marks[name].holds(tensors[name])
            for name in names
        ):
            return expected, True
        found = prefix_digest(model, k)
        return found, found == expected
