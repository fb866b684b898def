"""Copies of networks: what deepcopy gives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torch import nn

from sftbench.api import BlockBackbone
from sftbench.models.copying import copy_network
from sftbench.testing import TinyBackbone


def places(network: nn.Module) -> set[int]:
    return {tensor.data_ptr() for tensor in network.state_dict().values() if tensor.numel()}


@pytest.mark.parametrize(
    ("name", "size"),
    [("tf_efficientnet_lite0", 32), ("test_vit", 160), ("test_convnext", 64), ("resnet18", 32)],
)
def test_a_copy_computes_the_same_and_shares_nothing(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0).eval()
    network = BlockBackbone(model, torch.zeros(2, 3, size, size))
    made, expected = copy_network(network), copy.deepcopy(network)
    x = torch.randn(2, 3, size, size)
    k = network.num_blocks // 2
    with torch.no_grad():
        assert torch.equal(made(x), expected(x))
        assert torch.equal(made.forward_from(made.forward_to(x, k), k), expected(x))
    assert made.state_dict().keys() == network.state_dict().keys()
    assert not places(made) & places(network)
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(1)
    made.train()(x)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items())
    assert not {id(m) for m in made.modules()} & {id(m) for m in network.modules()}
    assert [m.training for m in network.modules()] == [m.training for m in expected.modules()]


def test_references_inside_and_flags_are_kept() -> None:
    network: Any = TinyBackbone().build(12)
    network.model[0][0].weight.requires_grad_(False)
    network.favourites = [network.model[1], {"norm": network.model[1][1]}]
    network.model[2][0].bias = network.model[2][1].bias  # one parameter in two places
    network.register_buffer("spare", torch.ones(3), persistent=False)
    made = copy_network(network)
    assert made.favourites[0] is made.model[1]
    assert made.favourites[1]["norm"] is made.model[1][1]
    assert made.model[2][0].bias is made.model[2][1].bias
    assert made.model[2][0].bias is not network.model[2][0].bias
    assert not made.model[0][0].weight.requires_grad
    assert made.model[1][0].weight.requires_grad
    assert made.spare.data_ptr() != network.spare.data_ptr()
    assert "spare" not in made.state_dict()


def test_hooks_see_the_copy() -> None:
    network: Any = TinyBackbone().build(12)
    seen: list[nn.Module] = []
    network.model[1].register_forward_hook(lambda module, _args, _out: seen.append(module))
    made = copy_network(network)
    made(torch.zeros(1, 3, 12, 12))
    assert seen == [made.model[1]]


def test_buffers_that_share_memory_share_it_in_the_copy() -> None:
    network: Any = nn.Linear(3, 3)
    network.register_buffer("whole", torch.arange(4.0))
    network.register_buffer("again", network.whole.view(2, 2))
    made = copy_network(network)
    assert made.whole.data_ptr() == made.again.data_ptr()
    assert made.whole.data_ptr() != network.whole.data_ptr()
    assert torch.equal(made.again, network.again)


def test_a_module_with_a_way_of_its_own_has_it() -> None:
    class Own(nn.Module):
        copies = 0

        def __deepcopy__(self, memo: dict[int, Any]) -> Own:
            made = Own()
            made.copies = self.copies + 1
            return made

    assert copy_network(nn.Sequential(Own()))[0].copies == 1
