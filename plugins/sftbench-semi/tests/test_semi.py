"""Losses against numpy, and cells with few labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sftbench_semi.strategies import (
    FixMatch,
    FixMatchOptions,
    PseudoLabel,
    PseudoLabelOptions,
    sure_loss,
)
from torch import Tensor, nn
from torch.nn import functional as F

from sftbench.api import RequestError, StepOutput, Strategy, StreamOutput
from sftbench.testing import TinyBackbone, TinyImages, check_component, run_tiny


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


def test_at_threshold_0_all_images_teach_and_else_the_sure_ones() -> None:
    torch.manual_seed(0)
    guess, logits = 2 * torch.randn(20, 4), torch.randn(20, 4, requires_grad=True)
    everyone = F.cross_entropy(logits, guess.argmax(dim=1))
    assert float(sure_loss(guess, logits, 0.0).detach()) == pytest.approx(float(everyone.detach()))
    sure_loss(guess, logits, 0.6).backward()
    sure = guess.softmax(dim=1).amax(dim=1) >= 0.6
    assert 0 < int(sure.sum()) < 20
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(dim=1) > 0, sure)


def test_a_pseudo_label_is_a_constant_to_the_logits_that_gave_it() -> None:
    torch.manual_seed(0)
    given = torch.randn(6, 4, requires_grad=True)
    sure_loss(given, given, 0.0).backward()
    constant = given.detach().clone().requires_grad_()
    F.cross_entropy(constant, constant.detach().argmax(dim=1)).backward()
    assert given.grad is not None
    assert constant.grad is not None
    torch.testing.assert_close(given.grad, constant.grad)


def _whole_loss(strategy: Strategy, views: tuple[Tensor, ...], progress: float) -> float:
    """The loss of a step less that of its labelled batch."""
    torch.manual_seed(1)
    logits, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    step = StepOutput(
        logits=logits,
        features=torch.zeros(6, 2),
        targets=targets,
        model=nn.Identity(),  # type: ignore[arg-type]
        initial={},
        streams={"unlabelled": StreamOutput(logits=views, features=(), targets=None)},
        task_loss=F.cross_entropy,
        progress=progress,
    )
    [stage] = strategy.stages(None)  # type: ignore[arg-type]
    assert stage.loss is not None
    rows = zip(logits.numpy(), targets.tolist(), strict=True)
    labelled = np.mean([np.log(np.exp(row).sum()) - row[target] for row, target in rows])
    return float(stage.loss(step)) - float(labelled)


@pytest.mark.parametrize(("progress", "risen"), [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)])
def test_pseudo_label_comes_on_over_the_first_two_fifths(progress: float, risen: float) -> None:
    weak = 4 * torch.randn(20, 4, generator=torch.Generator().manual_seed(2))
    own = _by_hand(weak.numpy(), weak.numpy(), 0.95)
    assert own > 0
    strategy = PseudoLabel(PseudoLabelOptions(weight=20.0))
    assert _whole_loss(strategy, (weak,), progress) == pytest.approx(20 * risen * own, abs=1e-5)
    at_once = PseudoLabel(PseudoLabelOptions(ramp=0.0))
    assert _whole_loss(at_once, (weak,), progress) == pytest.approx(own, abs=1e-5)


def test_fixmatch_teaches_the_strong_view_what_the_weak_one_says() -> None:
    generator = torch.Generator().manual_seed(3)
    weak, strong = (4 * torch.randn(20, 4, generator=generator) for _ in range(2))
    own = _by_hand(weak.numpy(), strong.numpy(), 0.95)
    assert own != pytest.approx(_by_hand(strong.numpy(), weak.numpy(), 0.95), rel=0.01)
    strategy = FixMatch(FixMatchOptions(weight=2.0))
    assert _whole_loss(strategy, (weak, strong), 0.0) == pytest.approx(2 * own, rel=1e-4)
    [stage] = strategy.stages(None)  # type: ignore[arg-type]
    [stream] = stage.streams
    assert (stream.source, stream.ratio, stream.views) == ("unlabelled", 7.0, ("weak", "strong"))


def test_where_inputs_are_no_images_the_combination_is_skipped() -> None:
    texts = replace(TinyBackbone().info(), tasks=("text-classification",))
    reason = FixMatch().supports("text-classification", texts, TinyImages().info())
    assert reason == "strategy fixmatch needs weak and strong views of images"


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
