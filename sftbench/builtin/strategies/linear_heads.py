"""The head of those who ask for a linear one."""

from __future__ import annotations

from torch import nn

from sftbench.api import Model, RequestError


def linear_head(model: Model, name: str) -> nn.Linear:
    """Return the model's head.

    Args:
        model: Of the cell.
        name: Of the strategy that asks.

    Raises:
        RequestError: It is no linear layer.
    """
    if not isinstance(model.head, nn.Linear):
        kind = type(model.head).__name__
        raise RequestError(f"strategy {name!r} needs a linear head; this model's is a {kind}")
    return model.head
