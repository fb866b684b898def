"""The model that trains: a backbone of ordered blocks, the target's head, and extra modules."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from sftbench.contracts.backbone import Network


class Model(nn.Module):
    """Backbone and head. Parameter names begin with `backbone.`, `head.` or `extra.NAME.`.

    Args:
        backbone: A `Network`.
        head: Maps features [B, D] to outputs.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.extra = nn.ModuleDict()

    @property
    def network(self) -> Network:
        """The backbone, typed by its contract."""
        return cast(Network, self.backbone)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised inputs to outputs."""
        return cast(Tensor, self.head(self.backbone(x)))

    def outputs(self, h: Tensor, k: int = 0) -> tuple[Tensor, Tensor]:
        """Return (outputs, features) from the output of the first k blocks (k = 0: inputs)."""
        features = self.backbone(h) if k == 0 else self.network.forward_from(h, k)
        return self.head(features), features

    def block_of(self, name: str) -> int | None:
        """Return the backbone block of a parameter by its full name; None for other modules."""
        prefix = "backbone."
        return self.network.block_of(name[len(prefix) :]) if name.startswith(prefix) else None
