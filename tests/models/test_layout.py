from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sftbench.models.layout import prefers_channels_last, to_device, trim_kernels


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 6), (3, 3), (9, 9)])
def test_a_trimmed_kernel_gives_the_same_outputs_and_gradients(
    kernel: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6))
    trimmed = copy.deepcopy(plain)
    trim_kernels(trimmed)
    again = copy.deepcopy(trimmed)
    x = torch.randn(4, 6, *size)
    expected = plain(x)
    expected.square().sum().backward()
    for module in (trimmed, again):
        found = module(x)
        torch.testing.assert_close(found, expected)
        found.square().sum().backward()
        torch.testing.assert_close(module[0].weight.grad, plain[0].weight.grad)
        torch.testing.assert_close(module[0].bias.grad, plain[0].bias.grad)
    assert again[0].weight is not trimmed[0].weight


def test_other_convolutions_are_left_alone() -> None:
    module = nn.Sequential(
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, stride=2),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, padding_mode="reflect"),
    )
    trim_kernels(module)
    assert not any("forward" in vars(conv) for conv in module)


def test_channels_last_is_for_networks_with_spatial_convolutions() -> None:
    assert prefers_channels_last(nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert not prefers_channels_last(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4)))
    moved = to_device(nn.Conv2d(3, 4, 3), torch.device("cpu"), channels_last=True)
    assert moved.weight.is_contiguous(memory_format=torch.channels_last)
