"""Losses against numpy, vectors, and each other."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from support.strategies import LONGTAIL, batch, laid_out, loss_of, step, with_counts

from sftbench.api import Strategy
from sftbench.builtin.strategies.class_counts import class_balanced_weights
from sftbench.builtin.strategies.ldam import CosineHead, ldam_margins
from sftbench.builtin.strategies.sampling import progressive
from sftbench.testing import run_tiny, tiny_catalog

WEIGHTS = "0.0506 0.0769 0.1211 0.1950 0.3188 0.5246 0.8683 1.4426 2.4092 3.9927"
MARGINS = ".158 .180 .204 .232 .264 .300 .341 .387 .440 .500"


def _of(name: str, **options: Any) -> Strategy:
    return cast(Strategy, tiny_catalog().create("strategy", name, options))


def _log_softmax(z: np.ndarray) -> np.ndarray:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _cross_entropies(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -_log_softmax(z)[np.arange(len(y)), y]


@pytest.fixture
def ctx() -> Any:
    return with_counts(laid_out("full"), LONGTAIL)


def test_weights_of_class_balanced_on_cifar10_lt(ctx: Any) -> None:
    weights = class_balanced_weights(ctx, 0.9999)
    assert [f"{one:.4f}" for one in weights.tolist()] == WEIGHTS.split()
    assert float(weights.sum()) == pytest.approx(10)
    assert class_balanced_weights(ctx, 0.0).tolist() == [1.0] * 10


def test_margins_of_ldam_on_cifar10_lt(ctx: Any) -> None:
    found = [f"{one:.3f}".removeprefix("0") for one in ldam_margins(ctx, 0.5).tolist()]
    assert found == MARGINS.split()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(ctx: Any, gamma: float) -> None:
    z, y = batch(10)
    each = _cross_entropies(z.numpy(), y.numpy())
    expected = ((1 - np.exp(-each)) ** gamma * each).mean()
    assert float(loss_of(_of("focal", gamma=gamma), ctx)(step(z, y))) == pytest.approx(expected)


def test_class_balanced(ctx: Any) -> None:
    z, y = batch(10)
    n = LONGTAIL.astype(float)
    w = (1 - 0.9999) / (1 - 0.9999**n)
    w *= 10 / w.sum()
    expected = (w[y.numpy()] * _cross_entropies(z.numpy(), y.numpy())).mean()
    assert float(loss_of(_of("class-balanced"), ctx)(step(z, y))) == pytest.approx(expected)


def test_balanced_softmax_and_logit_adjust_at_one(ctx: Any) -> None:
    z, y = batch(10)
    expected = _cross_entropies(z.numpy() + np.log(LONGTAIL), y.numpy()).mean()
    assert float(loss_of(_of("balanced-softmax"), ctx)(step(z, y))) == pytest.approx(expected)
    assert float(loss_of(_of("logit-adjust"), ctx)(step(z, y))) == pytest.approx(expected)
    shifted = _cross_entropies(z.numpy() + 0.5 * np.log(LONGTAIL / LONGTAIL.sum()), y.numpy())
    half = loss_of(_of("logit-adjust", tau=0.5), ctx)(step(z, y))
    assert float(half) == pytest.approx(shifted.mean())


@pytest.mark.parametrize(("progress", "late"), [(0.79, False), (0.81, True)])
def test_ldam_drw(ctx: Any, progress: float, late: bool) -> None:
    torch.manual_seed(0)
    head = CosineHead(7, 10, 30.0).double()
    features = torch.randn(6, 7, dtype=torch.float64)
    _, y = batch(10)
    weight = head.weight.detach().numpy()
    cosines = (features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)) @ (
        weight / np.linalg.norm(weight, axis=1, keepdims=True)
    ).T
    margins = LONGTAIL**-0.25 / (LONGTAIL**-0.25).max() * 0.5
    cosines[np.arange(6), y.numpy()] -= margins[y.numpy()]
    each = _cross_entropies(30 * cosines, y.numpy())
    w = (1 - 0.9999) / (1 - 0.9999 ** LONGTAIL.astype(float))
    own = w[y.numpy()]
    expected = (own * each).sum() / own.sum() if late else each.mean()
    found = loss_of(_of("ldam-drw"), ctx)(step(head(features), y, progress=progress))
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("progress", "shares"), [(0.0, (0.75, 0.25)), (0.5, (0.625, 0.375)), (1.0, (0.5, 0.5))]
)
def test_progressive_sampling(progress: float, shares: tuple[float, float]) -> None:
    targets = np.array([0, 0, 0, 1])
    weights = progressive(targets, progress)
    assert [weights[targets == label].sum() for label in (0, 1)] == pytest.approx(shares)


def test_square_root_sampling() -> None:
    [stage] = _of("sqrt-sampling").stages(laid_out("full").ctx)
    assert stage.sampler is not None
    targets = np.repeat([0, 1], [16, 4])
    weights = stage.sampler(targets, 0.0)
    assert weights[:16].sum() / weights[16:].sum() == pytest.approx(2.0)


def test_smoothing_and_mixing_are_those_of_the_protocol() -> None:
    """A strategy's own smoothing, mixup and cutmix give the bits of the protocol's."""
    catalog = tiny_catalog()
    for name, changes in (
        ("label-smoothing", {"label_smoothing": 0.1}),
        ("mixup", {"mixup": 0.2}),
        ("cutmix", {"cutmix": 1.0}),
    ):
        _, own = run_tiny(cast("type[Strategy]", catalog.get("strategy", name)))
        _, protocols = run_tiny(**changes)
        _, plain = run_tiny()
        assert own is not None
        assert protocols is not None
        assert plain is not None
        key = ("test", "last")
        assert np.array_equal(own[key].outputs, protocols[key].outputs)
        assert not np.array_equal(own[key].outputs, plain[key].outputs)
