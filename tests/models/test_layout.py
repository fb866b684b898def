from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sftbench.models.layout import prefers_channels_last, spare_clones, to_device


def test_channels_last_is_for_networks_with_spatial_convolutions() -> None:
    assert prefers_channels_last(nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert not prefers_channels_last(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 4)))
    moved = to_device(nn.Conv2d(3, 4, 3), torch.device("cpu"), channels_last=True)
    assert moved.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("made", [nn.ReLU6, nn.Hardswish, nn.Mish, nn.SiLU, nn.Hardtanh])
def test_activations_work_in_place_only_without_gradients(made: type[nn.Module]) -> None:
    plain = nn.Sequential(nn.BatchNorm2d(3), made(inplace=True))
    spared = copy.deepcopy(plain)
    spare_clones(spared)
    torch.manual_seed(0)
    x = 4 * torch.randn(8, 3, 5, 5)
    given: list[torch.Tensor] = []
    spared[0].register_forward_hook(lambda _module, _args, output: given.append(output))

    loss = [(module(x) * torch.arange(5.0)).sum() for module in (plain, spared)]
    for value in loss:
        value.backward()
    assert loss[0] == loss[1]
    assert torch.equal(plain[0].weight.grad, spared[0].weight.grad)
    with torch.no_grad():
        output = spared(x)
    assert output.data_ptr() == given[1].data_ptr()
    assert not torch.equal(given[0], output)
