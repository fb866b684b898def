"""A backbone that gives feature maps, made of any other whose network is cut into blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import nn

from sftbench.contracts.backbone import Backbone, BackboneInfo, PretrainedWeights
from sftbench.contracts.component import Component, Kind
from sftbench.errors import RequestError
from sftbench.models.blocks import BlockBackbone
from sftbench.models.pyramids import PyramidNetwork
from sftbench.options import Options


class BodyOptions(Options):
    """`body`: reference of the backbone that it is made of."""

    body: str = Field(min_length=1)


class PyramidBackbone(Backbone):
    """Inherit it, and say for which tasks and with which strides: `NAME:BODY` is its reference.

    Attributes:
        tasks: Names of the tasks it serves.
        strides: Of the maps, ascending.
    """

    options_model = BodyOptions
    argument = "body"
    example: ClassVar[str | None] = "tf_efficientnet_lite0"
    options: BodyOptions
    made_of: Backbone
    tasks: ClassVar[tuple[str, ...]]
    strides: ClassVar[tuple[int, ...]] = (8, 16, 32)

    def bind(self, create: Callable[[Kind, str], Component]) -> None:
        """Find the backbone that it is made of.

        Raises:
            RequestError: It is unknown, or made of another itself.
        """
        inner = create("backbone", self.options.body)
        self.made_of = cast(Backbone, inner)
        if self.made_of.made_of is not None:
            raise RequestError(
                f"backbone {self.name!r} takes a network of its own, not {inner.reference}"
            )
        version = 1000 * type(self).algorithm_version + inner.algorithm_version
        if inner.algorithm_version != 1:
            vars(self)["algorithm_version"] = version

    def info(self) -> BackboneInfo:
        """Return what the network within wants, for these tasks."""
        return replace(self.made_of.info(), tasks=self.tasks)

    def build(self, image_size: int) -> nn.Module:
        """Build the network within, up to its last map.

        Raises:
            RequestError: It has no such maps.
        """
        body = self.made_of.build(image_size)
        example = torch.zeros(1, 3, image_size, image_size)
        try:
            if not isinstance(body, BlockBackbone):
                raise ValueError(f"its network is a {type(body).__name__}, not a BlockBackbone")  # noqa: TRY301, TRY004
            return PyramidNetwork(body, example, self.strides)
        except ValueError as error:
            raise RequestError(
                f"backbone {self.reference!r} cannot be built at {image_size} pixels: {error}"
            ) from error

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Read the weights of the network within, as far as it is used."""
        whole = self.made_of.build(self.made_of.info().image_size)
        return weights_within(self.made_of.pretrained(whole), network)


def weights_within(given: PretrainedWeights, network: nn.Module) -> PretrainedWeights:
    """Return the weights of a network by the names that they have as another's `body`."""
    own = network.state_dict()
    named = {f"body.{name}": tensor for name, tensor in given.state.items()}
    state = {name: tensor for name, tensor in named.items() if name in own}
    return PretrainedWeights(state=state, head=None, digest=given.digest, origin=given.origin)
