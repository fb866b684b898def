from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sftbench.evaluation.classification import accuracy, nll
from sftbench.evaluation.temperature import HIGHEST, LOWEST, fit_temperature, scaled


def made(seed: int, sharpness: float, rows: int = 60) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Logits whose calibrated form says how likely each class is, times `sharpness`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=1.5, size=(rows, 4))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.array([generator.choice(4, p=share) for share in shares], dtype=np.int64)
    return (logits * sharpness).astype(np.float32), targets


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0, 4.0]))
def test_no_temperature_of_a_fine_grid_is_likelier(seed: int, sharpness: float) -> None:
    logits, targets = made(seed, sharpness)
    found = fit_temperature(logits, targets)
    grid = np.geomspace(LOWEST, HIGHEST, 400)
    best = min(nll(logits.astype(np.float64) / one, targets) for one in grid)
    assert LOWEST <= found <= HIGHEST
    assert nll(scaled(logits, found), targets) <= best + 1e-12


def test_torch_finds_the_same_by_lbfgs() -> None:
    import torch

    logits, targets = made(3, 2.5, rows=400)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        rows = torch.from_numpy(logits).double() / log_t.exp()
        loss = torch.nn.functional.cross_entropy(rows, torch.from_numpy(targets))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert fit_temperature(logits, targets) == pytest.approx(float(log_t.exp().detach()), rel=1e-4)


def test_logits_that_are_too_sharp_by_a_factor_are_cooled_by_it() -> None:
    logits, targets = made(1, 1.0, rows=500)
    once = fit_temperature(logits, targets)
    assert fit_temperature(logits * np.float32(4), targets) == pytest.approx(4 * once, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_accuracy_stays(seed: int) -> None:
    logits, targets = made(seed, 3.0, rows=20)
    cooled = scaled(logits, fit_temperature(logits, targets))
    assert accuracy(cooled, targets) == accuracy(logits, targets)
    assert (cooled.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_where_validation_says_nothing_or_everything() -> None:
    targets = np.array([0, 1], dtype=np.int64)
    assert fit_temperature(np.zeros((2, 3)), targets) == 1.0
    assert fit_temperature(np.full((2, 3), 7.0), targets) == 1.0
    assert fit_temperature(np.eye(3)[:2] * 5, targets) == LOWEST
    assert fit_temperature(np.eye(3)[[1, 0]] * 5, targets) == HIGHEST


def test_a_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="logits hold 2 examples, targets 1"):
        fit_temperature(np.zeros((2, 3)), np.array([0], dtype=np.int64))
