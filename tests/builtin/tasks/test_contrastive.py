"""Paired views: the loss against its definition, the views, and what is not cached for them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sftbench.api import BackboneInfo, BatchContext, Examples, Predictions
from sftbench.builtin.tasks.contrastive import TEMPERATURE, Contrastive
from sftbench.builtin.tasks.views import PairBatches, PairProjection, nt_xent
from sftbench.evaluation import contrastive


def by_definition(outputs: np.ndarray, temperature: float) -> float:
    """Equation 1 of the paper, one pair after another."""
    first, second = np.split(outputs.astype(np.float64), 2, axis=1)
    views = [*first, *second]
    num = len(outputs)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    total = 0.0
    for i, view in enumerate(views):
        other = (i + num) % (2 * num)
        below = sum(
            math.exp(cosine(view, views[k]) / temperature) for k in range(2 * num) if k != i
        )
        total -= math.log(math.exp(cosine(view, views[other]) / temperature) / below)
    return total / (2 * num)


def pairs(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num, 12)).astype(np.float32)


@pytest.mark.parametrize("num", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_that_of_the_paper(num: int, temperature: float) -> None:
    outputs = pairs(num)
    expected = by_definition(outputs, temperature)

    loss = nt_xent(torch.from_numpy(outputs).requires_grad_(), temperature)
    loss.backward()  # type: ignore[no-untyped-call]

    assert loss.item() == pytest.approx(expected, abs=1e-5)
    assert contrastive.nt_xent(outputs, temperature) == pytest.approx(expected, abs=1e-5)


def test_long_splits_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = pairs(23)
    whole = contrastive.nt_xent(outputs, 0.5), contrastive.retrieved(outputs)
    monkeypatch.setattr(contrastive, "_CHUNK", 5)

    assert contrastive.nt_xent(outputs, 0.5) == pytest.approx(whole[0])
    np.testing.assert_array_equal(contrastive.retrieved(outputs), whole[1])


def test_a_second_view_is_found_where_it_is_the_nearest() -> None:
    first = np.eye(4, dtype=np.float32)
    second = first[[0, 1, 3, 2]]  # the last two are taken for each other
    outputs = np.concatenate([first, second], axis=1)
    predictions = Predictions(np.arange(4), np.zeros(4, np.int64), outputs)

    statistics = Contrastive().statistics(predictions)

    assert statistics.tolist() == [[1, 1], [1, 1], [0, 1], [0, 1]]
    assert Contrastive().primary_from_sums(statistics.sum(axis=0)) == 0.5
    assert Contrastive().validation_loss(predictions) == pytest.approx(
        by_definition(outputs, TEMPERATURE)
    )


def batches(channels: int = 3, *, flip: bool = True) -> PairBatches:
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 20, channels), dtype=np.uint8)
    source = Contrastive().batches(Examples(images, np.zeros(6, np.int64)), context(flip=flip))
    assert isinstance(source, PairBatches)
    return source


def context(*, flip: bool) -> BatchContext:
    return BatchContext(
        device=torch.device("cpu"),
        image_size=16,
        backbone=BackboneInfo(image_size=16, mean=(0.5,) * 3, std=(0.25,) * 3),
        augment="flip",
        horizontal_flip=flip,
        channels_last=False,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_sees_the_image_and_one_fixed_view(channels: int) -> None:
    source = batches(channels)
    both = source.inputs(torch.tensor([0, 1, 2]), "plain", None)
    torch.manual_seed(99)
    alone = source.inputs(torch.tensor([2]), "plain", None)

    assert both.shape == (6, 3, 16, 16)
    torch.testing.assert_close(both[[2, 5]], alone, atol=0, rtol=0)
    assert not torch.equal(both[2], both[5])


def test_training_sees_two_views_by_its_generator_alone() -> None:
    source = batches()
    indices = torch.tensor([3, 4])

    def drawn(seed: int) -> torch.Tensor:
        state = torch.get_rng_state()
        views: torch.Tensor = source.inputs(indices, "weak", torch.Generator().manual_seed(seed))
        assert torch.equal(torch.get_rng_state(), state)
        return views

    torch.testing.assert_close(drawn(1), drawn(1), atol=0, rtol=0)
    views = drawn(1)
    assert not torch.equal(views, drawn(2))
    assert not torch.equal(views[:2], views[2:])


def test_the_projection_brings_both_views_side_by_side() -> None:
    torch.manual_seed(0)
    head = PairProjection(5, 3)
    features = torch.randn(8, 5)
    outputs = head(features)

    assert outputs.shape == (4, 6)
    torch.testing.assert_close(outputs[1, 3:], head(features[[5, 5]])[0, :3])
