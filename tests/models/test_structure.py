"""What a network is besides its tensors."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import nn

from sftbench.api import BlockBackbone
from sftbench.models.copying import copy_network
from sftbench.models.layout import to_device
from sftbench.models.structure import structure_of
from sftbench.testing import TinyBackbone


def tiny() -> Any:
    return TinyBackbone().build(12)


def timm_network(name: str, size: int) -> nn.Module:
    model = timm.create_model(name, num_classes=0)
    return BlockBackbone(model, torch.zeros(2, 3, size, size))


@pytest.mark.parametrize(
    ("name", "size"), [("tf_efficientnet_lite0", 32), ("test_vit", 160), ("test_convnext", 64)]
)
def test_copies_places_layouts_and_modes_have_one_structure(name: str, size: int) -> None:
    network = timm_network(name, size)
    expected = structure_of(network)
    assert structure_of(copy.deepcopy(network)) == expected
    moved = copy_network(network)
    to_device(moved, torch.device("cpu"), channels_last=True)
    moved.eval()
    with torch.no_grad():
        moved(torch.zeros(1, 3, size, size))
        next(moved.parameters()).add_(1)
    moved.requires_grad_(False)
    assert structure_of(moved) == expected


def _scaled(by: float, _module: nn.Module, _args: Any, output: Any) -> Any:
    return output * by


def _forward(network: Any) -> None:
    network.model[0].forward = lambda x: x


def _table(network: Any) -> None:
    network.model[0].table = {"scale": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        lambda n: setattr(n.model[0][0], "stride", (1, 1)),
        lambda n: setattr(n.model[0][1], "eps", 1e-3),
        lambda n: n.model.__setitem__(0, nn.Sequential(*n.model[0], nn.Identity())),
        lambda n: n.model[0].__setitem__(2, nn.GELU()),
        lambda n: n.model[1].register_forward_hook(functools.partial(_scaled, 2.0)),
        lambda n: n.model[1].register_forward_pre_hook(lambda *_: None),
        lambda n: n.model[0].register_buffer("scale", torch.ones(1), persistent=False),
        lambda n: setattr(n.model[0], "constant", torch.ones(1)),
        _forward,
        _table,
    ],
)
def test_a_change_without_a_parameter_is_seen(change: Callable[[Any], None]) -> None:
    network = tiny()
    before = structure_of(network)
    change(network)
    assert structure_of(network) != before


def test_what_stands_in_a_table_a_hook_or_a_constant_is_looked_at() -> None:
    network = tiny()
    _table(network)
    network.model[0].constant = torch.ones(1)
    network.model[1].register_forward_hook(functools.partial(_scaled, 2.0))
    before = structure_of(network)
    assert structure_of(copy.deepcopy(network)) == before
    network.model[0].table["scale"][1] = 3
    table = structure_of(network)
    assert table != before
    network.model[0].constant += 1
    assert structure_of(network) not in (before, table)
