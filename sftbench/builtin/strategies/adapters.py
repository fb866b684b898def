"""Small modules behind every block of a frozen backbone: they and the head train."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import nn

from sftbench.api import (
    BackboneInfo,
    DatasetInfo,
    InterleavedNetwork,
    Model,
    Options,
    Stage,
    Strategy,
    StrategyContext,
)
from sftbench.builtin.strategies.structure import blocks_of, example_for, images_only

if TYPE_CHECKING:
    from torch import Tensor


class Bottleneck(nn.Module):
    """x + up(relu(down(x))) over the channels; `up` begins at zero, so x goes through.

    Args:
        width: Of the bottleneck.
        channels: Of x.
        dim: Where they are.
    """

    def __init__(self, width: int, channels: int, dim: int) -> None:
        super().__init__()
        self._dim = dim
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, ..., C, ...] to the same shape."""
        change = self.up(torch.relu(self.down(x.movedim(self._dim, -1))))
        changed: Tensor = x + change.movedim(-1, self._dim)
        return changed


class ScaleShift(nn.Module):
    """gamma x + beta for each channel; they begin at 1 and 0.

    Args:
        channels: Of x.
        dim: Where they are.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self._dim = dim
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, ..., C, ...] to the same shape."""
        shape = [-1 if dim == self._dim else 1 for dim in range(x.ndim)]
        return x * self.gamma.view(shape) + self.beta.view(shape)


class _Interleaved(Strategy):
    """Train what stands behind the blocks, and the head."""

    claims = frozenset({"adapters", "trainable"})

    @abstractmethod
    def make(self, channels: int, dim: int) -> nn.Module:
        """Build the module behind a block."""

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Refuse networks of anything but images."""
        return images_only(self.name, backbone)

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Put the modules between the blocks."""
        body = blocks_of(model, self.name)
        model.backbone = InterleavedNetwork(body, example_for(ctx), self.make)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""

        def trainable(name: str) -> bool:
            return name.startswith("backbone.between.") or ctx.is_head(name)

        return [Stage(name="train", trainable=trainable)]


class AdapterOptions(Options):
    """`width`: of the bottleneck."""

    width: int = Field(16, ge=1, le=65_536)


class Adapter(_Interleaved):
    """Train a bottleneck with a residual path behind each block, and the head.

    At the first step it changes nothing. Maps are treated place by place (as by 1 x 1
    convolutions).

    Source: Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP", section 2.1; there
    two in each transformer layer, with its norms trained, too.
    """

    name = "adapter"
    summary = "train a small bottleneck behind each frozen block, and the head"
    options_model = AdapterOptions
    options: AdapterOptions
    argument = "width"

    def make(self, channels: int, dim: int) -> nn.Module:
        """Build a bottleneck."""
        return Bottleneck(self.options.width, channels, dim)


class Ssf(_Interleaved):
    """Train scale and shift of the channels behind each block, and the head.

    At the first step it changes nothing.

    Source: Lian et al. 2022, "Scaling & Shifting Your Features: A New Baseline for Efficient Model
    Tuning", equation 2; there behind every layer of a block.
    """

    name = "ssf"
    summary = "train scale and shift behind each frozen block, and the head"

    def make(self, channels: int, dim: int) -> nn.Module:
        """Build scale and shift."""
        return ScaleShift(channels, dim)
