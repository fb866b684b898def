"""Channels: fewer, the smallest leave, in a network that runs and can be cut."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from compress_tiny import check_measures, model_of, ran
from sftbench_compress.prune_structured import PruneStructured, prune_channels
from torch import nn

from sftbench.api import Backbone, BlockBackbone, Model
from sftbench.models.layout import to_device
from sftbench.testing import run_tiny
from sftbench.testing.tiny import TinyBackbone, TinyTransformer, tiny_catalog


def _first(model: Model) -> Any:
    network: Any = model.backbone
    return network.model[0][0]


def test_channels_leave_and_the_count_is_exact() -> None:
    model = model_of(TinyBackbone())
    before, after = prune_channels(model, torch.zeros(1, 3, 32, 32), 0.5)
    widths = (3, 4, 6, 8)
    expected = sum(9 * one * two + 2 * two for one, two in itertools.pairwise(widths)) + 8 * 4 + 4
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert model.network.feature_width == 8
    # Of the convolutions: maps of 16, 8 and 4 pixels. Norms and the head count too, a little.
    macs = [
        sum(
            9 * one * two * side**2
            for side, (one, two) in zip((16, 8, 4), itertools.pairwise(channels), strict=True)
        )
        for channels in ((3, 8, 12, 16), widths)
    ]
    assert macs[0] < before < 1.1 * macs[0]
    assert macs[1] < after < 1.1 * macs[1]


def test_the_channels_with_the_smallest_norm_leave() -> None:
    model = model_of(TinyBackbone())
    with torch.no_grad():
        _first(model).weight.fill_(0.01)
        _first(model).weight[[1, 4, 5, 7]] = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1)
    prune_channels(model, torch.zeros(1, 3, 32, 32), 0.5)
    assert _first(model).weight[:, 0, 0, 0].tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "regnety_002"])
def test_networks_run_and_can_be_cut(name: str) -> None:
    torch.manual_seed(0)
    backbone = tiny_catalog().create("backbone", name)
    assert isinstance(backbone, Backbone)
    network = backbone.build(64)
    assert isinstance(network, BlockBackbone)
    model = Model(network, nn.Linear(network.feature_width, 4))
    to_device(model, torch.device("cpu"), channels_last=True)
    num = sum(parameter.numel() for parameter in model.parameters())
    prune_channels(model, torch.zeros(1, 3, 64, 64), 0.5)
    kept = sum(parameter.numel() for parameter in model.parameters()) / num
    assert 0.2 < kept < 0.35
    model.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole = model(images)
        k = model.network.num_blocks // 2
        half = model.network.forward_from(model.network.forward_to(images, k), k)
        assert torch.allclose(model.head(half), whole, atol=1e-5)
    assert model.network.block_names == network.block_names
    assert any(not p.is_contiguous() for p in model.parameters())  # channels last, as it was


def test_a_cell() -> None:
    record = ran(PruneStructured, settings={"ratio": 0.25})
    check_measures(record, "before", "after")
    assert record.counts.parameters == record.measures["parameters_after"]
    assert record.measures["parameters_after"] < record.measures["parameters_before"]
    assert record.measures["macs_after"] < record.measures["macs_before"]
    assert record.measures["saved_bytes_after"] < record.measures["saved_bytes_before"]
    assert record.stages[1].trainable == record.measures["parameters_after"]
    assert record.remarks[0].startswith("25 % of the channels out leave ")


def test_what_cannot_be_pruned_is_said_before_it_trains() -> None:
    record, _ = run_tiny(PruneStructured, TinyTransformer)
    assert record.status == "failed"
    assert record.error is not None
    start = "strategy 'prune-structured': Torch-Pruning cannot prune this backbone ("
    assert record.error.message.startswith(start)
    assert record.error.message.endswith("; take a convolutional network")
    assert record.history == ()
