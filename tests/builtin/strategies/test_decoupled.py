"""Heads that are trained again or changed after training."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from support.strategies import laid_out
from support.workspaces import make_warm, run
from torch import nn

from sftbench.api import Strategy
from sftbench.builtin.strategies.rebalanced_heads import TAUS, even_out
from sftbench.testing import run_tiny, tiny_catalog


def _class(name: str) -> type[Strategy]:
    return cast("type[Strategy]", tiny_catalog().get("strategy", name))


def test_tau_norm() -> None:
    torch.manual_seed(0)
    trained, head = nn.Linear(5, 3), nn.Linear(5, 3)
    even_out(head, trained, 0.7)
    weight = trained.weight.detach().numpy()
    expected = weight / np.linalg.norm(weight, axis=1, keepdims=True) ** 0.7
    assert np.allclose(head.weight.detach().numpy(), expected, rtol=1e-6)
    assert head.bias.tolist() == [0.0] * 3
    even_out(head, trained, 1.0)
    assert head.weight.norm(dim=1).tolist() == pytest.approx([1.0] * 3)
    even_out(head, trained, 0.0)
    assert torch.equal(head.weight, trained.weight)


def test_tau_is_chosen_on_validation_and_told() -> None:
    record, _ = run_tiny(_class("tau-norm"))
    assert record.measures["tau"] in TAUS
    assert record.counts.validations == len(TAUS)
    fixed, _ = run_tiny(_class("tau-norm"), settings={"tau": 1.0})
    assert fixed.measures["tau"] == 1.0
    assert fixed.counts.validations == 0


def test_tau_norm_without_validation_says_what_to_do() -> None:
    record, _ = run_tiny(_class("tau-norm"), validation_fraction=0.0, selection="last")
    assert record.status == "failed"
    assert record.error is not None
    assert "give its option tau" in record.error.message


def test_post_hoc_adjustment_shifts_the_logits_by_the_class_shares() -> None:
    warm = make_warm()
    _, plain = run(warm, "full", variant="longtail:4")
    record, shifted = run(warm, "logit-adjust-posthoc", variant="longtail:4")
    counts = np.array([one.train_count for one in record.per_class], dtype=float)
    shift = np.log(counts / counts.sum())
    key = ("test", "selected")
    difference = plain[key].outputs - shifted[key].outputs
    assert np.allclose(difference, shift[None], atol=1e-5)
    assert np.array_equal(plain["test", "last"].outputs, shifted["test", "last"].outputs)


def test_crt_trains_a_new_head_on_what_the_first_stage_left() -> None:
    record, _ = run_tiny(_class("crt"), epochs=4)
    first, second = record.stages
    assert (first.frozen_blocks, second.frozen_blocks) == (0, 3)
    assert second.cached_features
    ws = laid_out("crt")
    [_, stage] = ws.strategy.stages(ws.ctx)
    before = ws.model.head.weight.detach().clone()  # type: ignore[union-attr, operator]
    assert stage.prepare is not None
    stage.prepare(ws.model, ws.ctx)
    assert not torch.equal(before, ws.model.head.weight)  # type: ignore[arg-type]
    assert stage.sampler is not None
    weights = stage.sampler(np.array([0, 0, 0, 1]), 0.0)
    assert weights[:3].sum() == pytest.approx(weights[3])


def test_lws_trains_one_scale_a_class() -> None:
    record, _ = run_tiny(_class("lws"), epochs=4)
    assert record.stages[1].trainable == 4
    ws = laid_out("lws")
    features = torch.randn(3, 16)
    with torch.no_grad():
        ws.model.head.scale.copy_(torch.tensor([1.0, 2.0, 0.5, 0.0]))  # type: ignore[union-attr, operator]
        plain = ws.model.head.linear(features)  # type: ignore[union-attr, operator]
        scaled = ws.model.head(features)
    assert torch.equal(scaled, plain * torch.tensor([1.0, 2.0, 0.5, 0.0]))


def test_crt_begins_the_cosine_head_of_another_part_again() -> None:
    ws = laid_out("crt+ldam-drw")
    [_, stage] = ws.strategy.stages(ws.ctx)
    assert stage.prepare is not None
    before = ws.model.head.weight.detach().clone()  # type: ignore[union-attr, operator]
    stage.prepare(ws.model, ws.ctx)
    after = ws.model.head.weight.detach()  # type: ignore[union-attr]
    assert not torch.equal(before, after)  # type: ignore[arg-type]
    assert after.norm(dim=1).tolist() == pytest.approx([1.0] * 4)  # type: ignore[operator]
