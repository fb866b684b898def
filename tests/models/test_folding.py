"""Batch norm folded into convolutions leaves the function as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sftbench.models.folding import folding


def strange_statistics(network: nn.Module) -> nn.Module:
    """Give every normalisation statistics and factors that matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 3.0)
            if module.affine:
                nn.init.normal_(module.weight, 1.0, 0.3)
                nn.init.normal_(module.bias)
    return network.eval()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the maps that are normalised by a pass of their own."""
    calls: list[int] = []
    real = torch.batch_norm

    def batch_norm(*args: object) -> object:
        calls.append(1)
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(torch, "batch_norm", batch_norm)
        yield calls


def folded_and_plain(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        plain = network(x)
        with folding(lambda: network(x[:1])):
            return network(x), plain


@pytest.mark.parametrize(
    ("model", "left"),
    [
        ("resnet18", 0),
        ("tf_efficientnet_lite0", 0),  # TensorFlow's padding, activations inside the norm
        ("mobilenetv3_small_050", 0),
        ("densenet121", 62),  # half of them normalise before they convolve
        ("test_vit", 0),
    ],
)
def test_outputs_stay_what_they_were(
    model: str, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    network = strange_statistics(timm.create_model(model, num_classes=0))
    x = torch.randn(3, 3, *((160, 160) if "vit" in model else (64, 64)))
    with torch.no_grad():
        plain = network(x)
        fold = folding(lambda: network(x[:1]))
        with counted(monkeypatch) as calls, fold:
            folded = network(x)
    assert len(calls) == left
    torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))


class Wired(nn.Module):
    """A convolution and a norm, joined by a function."""

    def __init__(self, join: Callable[[Wired, Tensor], Any], **norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, **norm)
        self.join = join

    def forward(self, x: Tensor) -> Any:
        return self.join(self, x)


def both(net: Wired, x: Tensor) -> Any:
    maps = net.conv(x)
    return net.norm(maps) + maps


def twice(net: Wired, x: Tensor) -> Any:
    return net.norm(net.conv(x)) - net.norm(net.conv(2 * x))


def in_place_between(net: Wired, x: Tensor) -> Any:
    return net.norm(net.conv(x).mul_(3))


def norm_of_two(net: Wired, x: Tensor) -> Any:
    return net.norm(net.conv(x)) * net.norm(x.repeat(1, 2, 1, 1)[:, :4, 1:-1, 1:-1])


def batch_statistics(net: Wired, x: Tensor) -> Any:
    return F.batch_norm(net.conv(x), net.norm.running_mean, net.norm.running_var, training=True)


def unnormalised_too(net: Wired, x: Tensor) -> Any:
    maps = net.conv(x)
    return torch.stack([maps, net.norm(maps)])


@pytest.mark.parametrize(
    "join", [both, twice, in_place_between, norm_of_two, batch_statistics, unnormalised_too]
)
def test_what_cannot_be_folded_is_left_alone(join: Callable[[Wired, Tensor], Any]) -> None:
    torch.manual_seed(6)
    network = strange_statistics(Wired(join))
    x = torch.randn(2, 3, 8, 8)
    if join is batch_statistics:  # which the pass itself would move
        network.norm = nn.BatchNorm2d(4, momentum=0.0).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        fold = folding(lambda: network(x[:1]))
    network.load_state_dict(before)
    with torch.no_grad():
        plain = network(x)
        network.load_state_dict(before)
        with fold:
            assert torch.equal(network(x), plain)


def test_a_pass_that_returns_the_maps_themselves_gets_them() -> None:
    torch.manual_seed(7)

    def join(net: Wired, x: Tensor) -> Any:
        maps = net.conv(x)
        net.norm(maps)
        return maps

    network = strange_statistics(Wired(join))
    folded, plain = folded_and_plain(network, torch.randn(2, 3, 8, 8))
    assert torch.equal(folded, plain)


@pytest.mark.parametrize("norm", [{"affine": False}, {}])
@pytest.mark.parametrize("bias", [True, False])
def test_every_form_of_a_pair(norm: dict[str, bool], bias: bool) -> None:
    torch.manual_seed(8)
    network = Wired(lambda net, x: net.norm(net.conv(x)), **norm)
    network.conv = nn.Conv2d(3, 4, 3, groups=1, stride=2, padding=1, dilation=2, bias=bias)
    strange_statistics(network)
    folded, plain = folded_and_plain(network, torch.randn(2, 3, 8, 8))
    assert not torch.equal(folded, plain)
    torch.testing.assert_close(folded, plain, rtol=1e-5, atol=1e-5)


def test_tensors_of_another_network_are_not_taken_for_these() -> None:
    torch.manual_seed(9)
    first, second = (
        strange_statistics(Wired(lambda net, x: net.norm(net.conv(x)))) for _ in range(2)
    )
    assert isinstance(first, Wired)
    assert isinstance(second, Wired)
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        plain, mixed = second(x), first.norm(second.conv(x))
        with folding(lambda: first(x[:1])):
            assert torch.equal(second(x), plain)
            assert torch.equal(first.norm(second.conv(x)), mixed)


def test_half_precision_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = strange_statistics(Wired(lambda net, x: net.norm(net.conv(x))))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = network(x)
        fold = folding(lambda: network(x[:1]))
        with counted(monkeypatch) as calls, fold:
            assert torch.equal(network(x), plain)
    assert calls
