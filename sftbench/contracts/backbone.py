"""Backbones: a pretrained network without its head, cut into ordered blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from sftbench.contracts.component import Component

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """How a backbone wants its input, and whose weights it can have.

    Attributes:
        image_size: Size of an input in the model's own configuration: the pixels of an image's
            side, or the most tokens of a text.
        mean: Of images, per channel, on the scale 0..1.
        std: Likewise.
        interpolation: For resizing; always antialiased.
        tasks: Names of the tasks it can serve.
        licence: Licence of the pretrained weights.
        source: What the weights were trained on, and where they come from.
        preprocessing: What else decides what an example's input is (the digest of a tokenizer).
    """

    image_size: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    tasks: tuple[str, ...] = ("image-classification", "contrastive")
    licence: str = "unknown"
    source: str = ""
    preprocessing: str = ""


class Network(Protocol):
    """The module that a backbone builds: an `nn.Module` whose forward is a chain of blocks.

    For every k in 0..num_blocks, `forward_from(forward_to(x, k), k)` equals `forward(x)`.
    `sftbench.api.BlockBackbone` makes one of any network that gives features.
    """

    @property
    def num_blocks(self) -> int:
        """Number of blocks, from stem to last."""
        ...

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names for people, stem first."""
        ...

    @property
    def feature_width(self) -> int:
        """D of the features [B, D]."""
        ...

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs (normalised images float [B, C, H, W]) to features float [B, D]."""
        ...

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        """Return the output of the first k blocks (k = 0: the input itself)."""
        ...

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        """Return features from the output of the first k blocks."""
        ...

    def block_of(self, parameter_name: str) -> int:
        """Return the index of the block that owns a parameter or buffer of this module."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedWeights:
    """Weights of the network, and of the head it was trained with where there is one.

    Attributes:
        state: Tensors by the network's own state-dict names (strict).
        head: `weight` [S, D] and `bias` [S] of the source head, or None.
        digest: SHA-256 of the file they came from, or of their bytes.
        origin: Package and version, hub address, or path.
    """

    state: Mapping[str, Tensor]
    head: Mapping[str, Tensor] | None
    digest: str
    origin: str


class Backbone(Component, ABC):
    """A network without head, and its pretrained weights.

    Attributes:
        made_of: The backbone whose network is this one's `body`, and whose pretrained weights
            serve; None: it stands for itself.
    """

    made_of: Backbone | None = None

    @abstractmethod
    def info(self) -> BackboneInfo:
        """Describe input and weights; called when the plan is made."""

    @abstractmethod
    def build(self, image_size: int) -> nn.Module:
        """Build the network with random weights; called with torch's generator seeded.

        Returns:
            A module that is a `Network`, in float32 on the CPU.
        """

    def noise(self, num: int, image_size: int) -> Tensor:
        """Return inputs [num, ...] without meaning, in the form that `build`'s network takes.

        Contract checks and the probe run on them; they are drawn from torch's global generator.
        """
        import torch

        return torch.randn(num, 3, image_size, image_size)

    @abstractmethod
    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Read the pretrained weights for `network`; called once for each worker.

        Raises:
            sftbench.api.UnavailableError: They cannot be had here.
        """

    def pretrained_problem(self) -> str | None:
        """Say within seconds why `pretrained` would fail, or None; called before any cell runs."""
        return None

    def fetch_pretrained(self, say: Callable[[str], None]) -> None:
        """Download what `pretrained` reads, with progress; called before any cell runs.

        Nothing happens where it is here already.

        Args:
            say: Is given a line about what is downloaded.

        Raises:
            sftbench.api.UnavailableError: It cannot be had after all.
        """
        return
