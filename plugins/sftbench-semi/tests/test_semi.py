"""Losses against numpy, and cells with few labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sftbench_semi.strategies import FixMatch, PseudoLabel, sure_loss

from sftbench.api import RequestError, Strategy
from sftbench.testing import check_component, run_tiny


def _by_hand(guess: np.ndarray, logits: np.ndarray, threshold: float) -> float:
    def softmax(z: np.ndarray) -> np.ndarray:
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    total = 0.0
    for p, q in zip(softmax(guess), softmax(logits), strict=True):
        if p.max() >= threshold:
            total -= np.log(q[p.argmax()])
    return total / len(guess)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.95, 1.0])
def test_the_loss(threshold: float) -> None:
    torch.manual_seed(0)
    guess, logits = 2 * torch.randn(20, 4), torch.randn(20, 4)
    found = float(sure_loss(guess, logits, threshold))
    assert found == pytest.approx(_by_hand(guess.numpy(), logits.numpy(), threshold), rel=1e-5)


def test_no_gradient_goes_through_the_labels() -> None:
    guess = torch.randn(5, 3, requires_grad=True)
    logits = torch.randn(5, 3, requires_grad=True)
    sure_loss(guess, logits, 0.0).backward()
    assert guess.grad is None
    assert logits.grad is not None


def _outputs(cls: type[Strategy], **settings: Any) -> np.ndarray:
    record, kept = run_tiny(cls, settings=settings, variant="labels:16", epochs=2)
    assert record.status == "ok", record.error
    assert kept is not None
    return np.asarray(kept["test", "last"].outputs)


@pytest.mark.parametrize("cls", [PseudoLabel, FixMatch])
def test_unlabelled_images_count_and_move_the_network(cls: type[Strategy]) -> None:
    record, _ = run_tiny(cls, variant="labels:16", epochs=2)
    ratio = 7 if cls is FixMatch else 1
    assert record.counts.train_examples == 16
    assert record.counts.unlabelled_examples == ratio * record.counts.drawn_examples
    nothing = _outputs(cls, threshold=1.0)
    assert not np.array_equal(_outputs(cls, threshold=0.0), nothing)
    assert np.array_equal(_outputs(cls, weight=0.0, threshold=0.0), nothing)


@pytest.mark.parametrize("cls", [PseudoLabel, FixMatch])
def test_where_nothing_is_unlabelled_the_combination_is_skipped(cls: type[Strategy]) -> None:
    with pytest.raises(RequestError, match="variant balanced leaves none; use --variant labels:N"):
        run_tiny(cls)


@pytest.mark.parametrize("cls", [PseudoLabel, FixMatch])
def test_contract(cls: type[Strategy]) -> None:
    assert [str(one) for one in check_component("strategy", cls) if one.problem] == []
