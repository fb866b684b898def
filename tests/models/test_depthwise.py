"""Against torch's own convolution, in double precision where its answer must be exact."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from sftbench.models import depthwise
from sftbench.models.depthwise import speed_up_depthwise

SIZES = [(1, 1), (2, 2), (2, 6), (3, 3), (4, 4), (7, 9), (40, 33)]


def compare(plain: nn.Sequential, size: tuple[int, int]) -> None:
    """Outputs and all gradients of the network as it is, sped up, and copied after that."""
    torch.manual_seed(0)
    fast = copy.deepcopy(plain)
    speed_up_depthwise(fast)
    again = copy.deepcopy(fast)
    assert again[0].weight is not fast[0].weight
    x = torch.randn(4, 6, *size).to(memory_format=torch.channels_last)
    exact = copy.deepcopy(plain).double()
    wanted = x.double().requires_grad_()
    expected = exact(wanted)
    upstream = torch.randn_like(expected)
    expected.backward(upstream)
    for module in (fast, again):
        given = x.clone().requires_grad_()
        found = module(given)
        found.backward(upstream.float())
        for one, other in [
            (found, expected),
            (given.grad, wanted.grad),
            (module[0].weight.grad, exact[0].weight.grad),
            (module[0].bias.grad, exact[0].bias.grad),
        ]:
            torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [3, 5, 7, (3, 5), (7, 1)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
def test_outputs_and_gradients_are_those_of_torch(
    kernel: int | tuple[int, int], size: tuple[int, int], stride: int
) -> None:
    high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = (high // 2, wide // 2)
    compare(nn.Sequential(nn.Conv2d(6, 6, kernel, stride, padding, groups=6)), size)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_padding_as_tensorflow_does_it(kernel: int, size: tuple[int, int]) -> None:
    compare(nn.Sequential(Conv2dSame(6, 6, kernel, stride=2, groups=6)), size)


@pytest.mark.parametrize(("kernel", "padding"), [(5, 0), (5, 1), (7, 1)])
def test_any_padding(kernel: int, padding: int) -> None:
    compare(nn.Sequential(nn.Conv2d(6, 6, kernel, 1, padding, groups=6)), (9, 9))


def test_a_frozen_kernel_and_a_wanted_gradient_of_a_gradient() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 5, padding=2, groups=4)
    fast = copy.deepcopy(conv)
    speed_up_depthwise(fast)
    x = torch.randn(2, 4, 6, 6)
    norms = []
    for module in (conv, fast):
        loss = module(x).square().sum()
        [slope] = torch.autograd.grad(loss, module.weight, create_graph=True)
        slope.square().sum().backward()
        norms.append(module.weight.grad)
    torch.testing.assert_close(norms[1], norms[0], rtol=1e-4, atol=1e-4)
    fast.requires_grad_(requires_grad=False)
    given = x.clone().requires_grad_()
    fast(given).sum().backward()
    conv.zero_grad()
    other = x.clone().requires_grad_()
    conv(other).sum().backward()
    torch.testing.assert_close(given.grad, other.grad)


def test_the_detour_is_taken_where_torch_is_slow_and_only_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[torch.Size] = []
    apply = depthwise._Depthwise.apply
    monkeypatch.setattr(
        depthwise._Depthwise, "apply", lambda x, *more: taken.append(x.shape) or apply(x, *more)
    )
    for kernel, size, trained in product([3, 5], [2, 3, 4, 8, 33], [True, False]):
        conv = nn.Conv2d(4, 4, kernel, stride=2, padding=kernel // 2, groups=4)
        speed_up_depthwise(conv)
        conv.requires_grad_(requires_grad=trained)
        conv(torch.randn(1, 4, size, size))
    assert [tuple(shape[2:]) for shape in taken] == [(2, 2), (2, 2), (3, 3), (4, 4), (8, 8)]


def test_other_convolutions_are_left_alone() -> None:
    module = nn.Sequential(
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Conv2d(6, 12, 3, padding=1, groups=6),
        nn.Conv2d(6, 6, 3, padding="same", groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, padding_mode="reflect"),
    )
    speed_up_depthwise(module)
    assert {type(conv) for conv in module} == {nn.Conv2d}


def test_the_replaced_ones_are_convolutions_still() -> None:
    module = nn.Sequential(
        nn.Conv2d(6, 6, 5, padding=2, groups=6), Conv2dSame(6, 6, 5, stride=2, groups=6)
    )
    names, given = list(module.state_dict()), [type(conv) for conv in module]
    speed_up_depthwise(module)
    speed_up_depthwise(module)
    assert list(module.state_dict()) == names
    for conv, before in zip(module, given, strict=True):
        assert type(conv).__bases__ == (before,)
        assert "groups=6" in repr(conv)
