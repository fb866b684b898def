"""The optimisers that run are torch's fused kernels, which update as the plain ones do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sftbench.api import DatasetInfo, Stage, StrategyContext
from sftbench.engine import optimizers
from sftbench.engine.optimizers import make_optimizer, set_rates
from sftbench.protocol import Protocol


def context(device: str, optimizer: str) -> StrategyContext:
    return StrategyContext(
        info=DatasetInfo(name="x", class_names=("a", "b"), num_train=2, num_test=2),
        protocol=Protocol(optimizer=optimizer),
        train_counts=np.ones(2, dtype=np.int64),
        num_blocks=1,
        block_names=("stem",),
        block_of=lambda _name: 0,
        pretrained=True,
        device=torch.device(device),
        generator=lambda _key: torch.Generator(),
    )


@pytest.mark.parametrize("name", ["adamw", "sgd", "momentum"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_optimiser_is_fused_and_equals_the_plain_one(
    name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 5).to(device)
    stage = Stage(name="train", trainable=lambda _name: True)
    made = make_optimizer(layer.named_parameters(), stage, context(device, name))
    assert made.defaults["fused"] is True
    monkeypatch.setattr(optimizers, "_fused", lambda _name: {})
    other = copy.deepcopy(layer)
    plain = make_optimizer(other.named_parameters(), stage, context(device, name))
    assert not plain.defaults["fused"]
    x = torch.randn(3, 7, device=device)
    for _ in range(5):
        for module, optimizer in ((layer, made), (other, plain)):
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(layer.weight, other.weight, rtol=1e-4, atol=1e-5)
    assert not torch.equal(layer.weight, nn.Linear(7, 5).to(device).weight)


def test_an_optimiser_without_a_fused_kernel_is_made_plain() -> None:
    layer = nn.Linear(2, 2)
    stage = Stage(name="train", trainable=lambda _name: True)
    made = make_optimizer(layer.named_parameters(), stage, context("cpu", "lamb"))
    assert "fused" not in made.defaults


@pytest.mark.parametrize(
    ("made_with", "swing", "expected"),
    [
        (0.9, 0.05, 0.95),
        (0.9, -0.05, 0.85),
        (0.97, 0.05, 0.99),
        (0.995, 0.05, 0.995),
        (0.02, -0.05, 0),
    ],
)
def test_momentum_swings_no_further_than_velocities_bear(
    made_with: float, swing: float, expected: float
) -> None:
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=made_with)
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)], betas=(made_with, 0.999))
    for optimizer in (sgd, adam):
        for group in optimizer.param_groups:
            group["peak"] = 1.0
        for _ in range(2):  # it swings around what it was made with
            set_rates(optimizer, 1.0, swing)
    assert sgd.param_groups[0]["momentum"] == pytest.approx(expected)
    assert adam.param_groups[0]["betas"] == pytest.approx((expected, 0.999))
