"""Backbones that break a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from support.broken.noted import breaks
from torch import nn

from sftbench.api import (
    BackboneInfo,
    PretrainedWeights,
)
from sftbench.testing import (
    TinyBackbone,
)


class WithBlocks(TinyBackbone):
    """A tiny backbone whose network is spoilt after it was built."""

    def build(self, image_size: int) -> nn.Module:
        return self.spoil(super().build(image_size))

    def spoil(self, network: Any) -> Any:
        return network


def overriding(network: Any, **methods: Any) -> Any:
    network.__class__ = type("Spoilt", (type(network),), methods)
    return network


@breaks("info is plausible", "mean (127.0, 127.0, 127.0) is not three values on the scale 0..1")
class MeanInBytes(TinyBackbone):
    def info(self) -> BackboneInfo:
        return replace(super().info(), mean=(127.0, 127.0, 127.0))


@breaks("build gives a network", "lacks num_blocks, block_names")
class NoBlocks(WithBlocks):
    def spoil(self, network: Any) -> Any:
        return network.model


@breaks("build gives a network", "num_blocks is 2, and block_names has 3")
class BlocksMiscounted(WithBlocks):
    def spoil(self, network: Any) -> Any:
        network.num_blocks = 2
        return network


@breaks("parameters are float32 on the cpu", "model.0.1.extra is torch.float64 on cpu")
class DoublePrecision(WithBlocks):
    def spoil(self, network: Any) -> Any:
        network.model[0][1].extra = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        return network


@breaks("features have the feature width", "shape (2, 16), not (2, 7)")
class WrongWidth(WithBlocks):
    def spoil(self, network: Any) -> Any:
        network.feature_width = 7
        return network

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        return replace(super().pretrained(network), head=None)


@breaks("every tensor belongs to a block", "block_of('model.2.1.num_batches_tracked') is 3")
class BlockTooHigh(WithBlocks):
    def spoil(self, network: Any) -> Any:
        def block_of(self: Any, name: str) -> int:
            last = name == "model.2.1.num_batches_tracked"
            return 3 if last else type(self).__base__.block_of(self, name)

        return overriding(network, block_of=block_of)


@breaks("blocks compose", "forward_from(forward_to(x, 2), 2) is not forward(x)")
class PartsDoNotCompose(WithBlocks):
    def spoil(self, network: Any) -> Any:
        def forward_from(self: Any, h: Any, k: int) -> Any:
            return type(self).__base__.forward_from(self, h * 2 if k == 2 else h, k)

        return overriding(network, forward_from=forward_from)


@breaks("a prefix uses its blocks alone", "forward_to(x, 1) uses model.0.0.weight of block 1")
class BlocksMisnamed(WithBlocks):
    def spoil(self, network: Any) -> Any:
        def block_of(self: Any, name: str) -> int:
            found = type(self).__base__.block_of(self, name)
            return 1 if name == "model.0.0.weight" else int(found)

        return overriding(network, block_of=block_of)


@breaks("eval mode is deterministic", "two passes in eval mode differ")
class NoiseInEval(WithBlocks):
    def spoil(self, network: Any) -> Any:
        def forward(self: Any, x: Any) -> Any:
            return type(self).__base__.forward(self, x) + 1e-6 * torch.randn(())

        return overriding(network, forward=forward)


@breaks("one seed builds one network", "two networks of one seed differ in model.0.0.weight")
class UnseededWeights(WithBlocks):
    def spoil(self, network: Any) -> Any:
        generator = torch.Generator()
        generator.seed()
        nn.init.normal_(network.model[0][0].weight, generator=generator)
        return network


@breaks("pretrained weights fit", "Missing key(s) in state_dict")
class StateIncomplete(TinyBackbone):
    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        given = super().pretrained(network)
        state = {n: t for n, t in given.state.items() if n != "model.0.0.weight"}
        return replace(given, state=state)


@breaks("pretrained weights fit", "weight [5, 9] and bias [5], not [S, 16] and [S]")
class HeadOfAnotherWidth(TinyBackbone):
    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        head = {"weight": torch.zeros(5, 9), "bias": torch.zeros(5)}
        return replace(super().pretrained(network), head=head)
