"""The CIFAR network: its size, its blocks, its shortcuts, and that it has no weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sftbench.api import UnavailableError
from sftbench.builtin.backbones.cifar_resnet import BasicBlock, CifarResNet32
from sftbench.catalog import Catalog
from sftbench.cli.axes import given_values, make_request
from sftbench.discovery import build_catalog
from sftbench.models.starting import pretrained_problem
from sftbench.planning import make_plan
from sftbench.testing import check_component, run_tiny


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return CifarResNet32().build(32)


def test_it_has_the_papers_size(network: nn.Module) -> None:
    convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    assert len(convolutions) == 31
    # He et al., table 6: 0.46 million with the head, whose 64 x 10 + 10 are not in here.
    norms = 2 * (16 * 11 + 32 * 10 + 64 * 10)
    first = 27 * 16 + 10 * 9 * 16 * 16
    second = 9 * 16 * 32 + 9 * 9 * 32 * 32
    third = 9 * 32 * 64 + 9 * 9 * 64 * 64
    num = sum(p.numel() for p in network.parameters())
    assert num == norms + first + second + third == 464_154 - 650


def test_its_blocks_are_the_stem_and_fifteen_residual_ones(network: nn.Module) -> None:
    assert network.num_blocks == 16
    assert network.feature_width == 64
    assert network.block_of("model.0.0.weight") == 0
    assert network.block_of("model.1.0.conv1.weight") == 1
    assert network.block_of("model.3.4.bn2.running_mean") == 15
    network.eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    shapes = [tuple(network.forward_to(x, k).shape[1:]) for k in (1, 5, 6, 11, 15)]
    assert shapes == [(16, 32, 32), (16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_a_shortcut_takes_every_second_place_and_pads_channels_on_both_sides() -> None:
    block = BasicBlock(16, 32, 2).eval()
    for norm in (block.bn1, block.bn2):
        nn.init.zeros_(norm.weight)  # nothing comes through the convolutions
    x = torch.rand(2, 16, 8, 8)
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_a_block_without_stride_is_two_convolutions_and_itself() -> None:
    block = BasicBlock(16, 16, 1).eval()
    x = torch.randn(2, 16, 8, 8)
    inner = F.conv2d(x, block.conv1.weight, padding=1) / (1 + block.bn1.eps) ** 0.5
    outer = F.conv2d(inner.clamp(min=0), block.conv2.weight, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), (x + outer).clamp(min=0))


def test_weights_are_drawn_by_fan_in(network: nn.Module) -> None:
    weight = network.get_parameter("model.3.4.conv2.weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


def test_there_are_no_weights_and_the_message_says_what_to_do() -> None:
    catalog: Catalog = build_catalog(chosen="")
    made = catalog.create("backbone", "cifar-resnet32")
    assert isinstance(made, CifarResNet32)
    assert pretrained_problem(made, catalog) == (
        "weights of cifar-resnet32: nobody published any; start from --weights none, or make some: "
        "sftbench pretrain --backbone cifar-resnet32 --dataset SOURCE, then --weights "
        "pretrain:SOURCE"
    )
    with pytest.raises(UnavailableError, match="nobody published any"):
        made.pretrained(made.build(32))


def test_the_contract_holds() -> None:
    problems = [one for one in check_component("backbone", CifarResNet32) if one.problem]
    assert [str(one) for one in problems] == []


def test_a_tiny_cell_from_random_weights() -> None:
    from sftbench.builtin.strategies.scratch import Scratch

    record, _ = run_tiny(CifarResNet32, Scratch)
    assert record.status == "ok", record.error
    assert record.counts.trainable == 464_154 - 650 + 64 * 4 + 4


def test_without_weights_it_can_be_planned() -> None:
    request = make_request(
        {}, given_values({"backbone": ("cifar-resnet32",), "weights": ("none",)})
    )
    plan = make_plan(request, build_catalog(chosen=""), "fp32")
    assert {cell.weights for cell in plan.cells} == {"none"}
