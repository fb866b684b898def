"""Feature maps of a network of blocks: those of timm, from any block on."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from sftbench.api import (
    BlockBackbone,
    PretrainedWeights,
    PyramidBackbone,
    PyramidNetwork,
    RequestError,
    UnavailableError,
    packed,
    unpacked,
)
from sftbench.discovery import build_catalog
from sftbench.models.starting import has_weights, owner, pretrained_problem

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
STRIDES = (8, 16, 32)


def pyramid(model: str, seed: int = 0) -> tuple[PyramidNetwork, Any]:
    torch.manual_seed(seed)
    whole = timm.create_model(model, num_classes=0).eval()
    for module in whole.modules():  # a residual branch that begins as zero would hide its block
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    body = BlockBackbone(timm.create_model(model, num_classes=0).eval(), IMAGES[:1])
    body.model.load_state_dict(whole.state_dict())
    return PyramidNetwork(body, IMAGES[:1], STRIDES).eval(), whole


@pytest.mark.parametrize(
    "model",
    ["resnet18", "tf_efficientnet_lite0", "mobilenetv2_100", "convnext_atto", "densenet121"],
)
def test_the_maps_are_those_of_timm(model: str) -> None:
    network, whole = pyramid(model)
    with torch.no_grad():
        expected = whole.forward_intermediates(IMAGES, intermediates_only=True)[-3:]
        found = unpacked(network(IMAGES), network.levels)
    for level, mine, theirs in zip(network.levels, found, expected, strict=True):
        assert mine.shape == theirs.shape == (2, level.channels, level.height, level.width)
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_from_every_block_on_the_features_are_the_same() -> None:
    network, _ = pyramid("resnet18")
    with torch.no_grad():
        expected = network(IMAGES)
        for k in range(network.num_blocks + 1):
            again = network.forward_from(network.forward_to(IMAGES, k), k)
            torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-4)
    assert expected.shape == (2, network.feature_width)


def test_gradients_reach_the_blocks_behind_a_boundary_and_no_others() -> None:
    network, _ = pyramid("resnet18")
    k = 5
    h = network.forward_to(IMAGES, k).detach()
    network.forward_from(h, k).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == (network.block_of(name) >= k), name


def test_what_runs_behind_the_last_map_is_left_out() -> None:
    network, whole = pyramid("tf_efficientnet_lite0")
    names = [name for name, _ in network.named_parameters()]
    assert not any("conv_head" in name or name.startswith("body.model.bn2") for name in names)
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in whole.parameters())
    assert {network.block_of(name) for name in names} == set(range(network.num_blocks))


def test_packing_is_undone() -> None:
    network, _ = pyramid("resnet18")
    maps = [torch.randn(3, level.channels, level.height, level.width) for level in network.levels]
    back = unpacked(packed(maps), network.levels)
    assert all(torch.equal(a, b) for a, b in zip(maps, back, strict=True))


def test_a_network_without_such_maps_is_refused() -> None:
    body = BlockBackbone(timm.create_model("test_vit", num_classes=0), torch.zeros(1, 3, 160, 160))
    with pytest.raises(ValueError, match="no block gives maps of 1/8 of images of 160 x 160"):
        PyramidNetwork(body, torch.zeros(1, 3, 160, 160), STRIDES)


class Maps(PyramidBackbone):
    """Of this test."""

    name = "maps"
    summary = "feature maps"
    tasks = ("places",)


def made_of(body: str) -> Maps:
    backbone = Maps(Maps.options_model(body=body))
    backbone.bind(build_catalog().create)
    return backbone


def test_a_backbone_is_made_of_another_and_has_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = made_of("resnet18")
    assert backbone.reference == "maps:resnet18"
    assert backbone.info().tasks == ("places",)
    assert backbone.info().mean == backbone.made_of.info().mean
    assert owner(backbone) is backbone.made_of
    network = backbone.build(64)
    whole = backbone.made_of.build(64)
    given = {name: torch.full_like(value, 2) for name, value in whole.state_dict().items()}

    def pretrained(_network: Any) -> Any:
        return PretrainedWeights(
            state=given, head={"weight": torch.ones(1)}, digest="d", origin="o"
        )

    monkeypatch.setattr(backbone.made_of, "pretrained", pretrained)
    found = backbone.pretrained(network)
    network.load_state_dict(dict(found.state))  # strict
    assert all(bool((value == 2).all()) for value in network.state_dict().values())
    assert (found.head, found.digest, found.origin) == (None, "d", "o")


def test_weights_are_looked_for_under_the_inner_name() -> None:
    catalog = build_catalog()
    backbone = made_of("tf_efficientnet_lite0")
    assert has_weights(backbone, catalog) == has_weights(backbone.made_of, catalog)
    try:
        problem = pretrained_problem(backbone, catalog)
    except UnavailableError as error:
        problem = str(error)
    assert problem is None or "weights fetch tf_efficientnet_lite0" in problem


@pytest.mark.parametrize("body", ["test_vit", "nothing-of-that-name"])
def test_a_body_that_does_not_serve_is_one_line(body: str) -> None:
    with pytest.raises(RequestError) as caught:
        made_of(body).build(160)
    assert "\n" not in str(caught.value)
