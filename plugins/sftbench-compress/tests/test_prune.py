"""Masks: exact, the smallest, lasting."""

from __future__ import annotations

import pytest
import torch
from compress_tiny import check_measures, model_of, ran
from sftbench_compress.prune import Prune, hold, mask, prunable
from torch import nn

from sftbench.testing.tiny import TinyBackbone, TinyTransformer

WEIGHTS = 8 * 27 + 12 * 72 + 16 * 108 + 16 * 4  # of the tiny network and its head


def _weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([getattr(module, name).detach().flatten() for module, name in prunable(model)])


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("backbone", [TinyBackbone(), TinyTransformer()])
def test_the_smallest_weights_become_zero(amount: float, backbone: TinyBackbone) -> None:
    model = model_of(backbone).to(memory_format=torch.channels_last)
    before = _weights(model)
    names = list(model.state_dict())
    mask(model, amount)
    after = _weights(model)
    zeros = after == 0
    assert int(zeros.sum()) == round(amount * len(before))
    assert before[zeros].abs().max() <= before[~zeros].abs().min()
    assert torch.equal(after[~zeros], before[~zeros])
    assert list(model.state_dict()) == names


def test_attention_of_torch_is_pruned_too() -> None:
    layer = nn.MultiheadAttention(8, 2)
    mask(layer, 0.5)
    assert int((layer.in_proj_weight == 0).sum() + (layer.out_proj.weight == 0).sum()) == 128


def test_zeros_stay() -> None:
    model = model_of(TinyBackbone()).train()
    masks = mask(model, 0.5)
    zeros = _weights(model) == 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(3):
        model(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        hold(masks)
    assert torch.equal(_weights(model) == 0, zeros)


def test_a_cell() -> None:
    record = ran(Prune, settings={"amount": 0.75})
    check_measures(record, "before", "after")
    assert record.measures["zero_share"] == round(0.75 * WEIGHTS) / WEIGHTS
    # The zeros take as much room as what they stand for.
    assert record.measures["saved_bytes_after"] == record.measures["saved_bytes_before"]
    assert record.remarks[0].startswith("a mask of 75 % zeros: 0 % smaller on disk")
    assert [stage.name for stage in record.stages] == ["train", "recover"]
