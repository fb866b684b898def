from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.scheduler import CosineLRScheduler, PolyLRScheduler, TanhLRScheduler

from sftbench.engine.schedules import factor, momentum


def rates(schedule: str, total: int, warmup: float = 0.0) -> list[float]:
    return [factor(schedule, step, total, warmup) for step in range(total)]


def test_constant_is_one() -> None:
    assert rates("constant", 5) == [1.0] * 5


def test_constant_rises_over_the_warm_up() -> None:
    assert rates("constant", 10, 0.2) == pytest.approx([1 / 3, 2 / 3] + [1.0] * 8)


def test_step_falls_at_half_and_three_quarters() -> None:
    assert rates("step", 8) == [1.0] * 4 + [0.1] * 2 + [0.01] * 2


def test_cosine_ends_near_zero_and_is_half_in_the_middle() -> None:
    found = rates("cosine", 100)
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.5)
    assert found[99] == pytest.approx(0.000246719, rel=1e-4)


@pytest.mark.parametrize(
    ("schedule", "oracle", "options"),
    [
        ("cosine", CosineLRScheduler, {}),
        ("poly", PolyLRScheduler, {}),
        ("linear", PolyLRScheduler, {"power": 1.0}),
        ("tanh", TanhLRScheduler, {}),
    ],
)
def test_falling_schedules_are_timms(schedule: str, oracle: type, options: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    timms = oracle(optimizer, t_initial=50, t_in_epochs=False, **options)
    expected = []
    for step in range(50):
        timms.step_update(step)
        expected.append(optimizer.param_groups[0]["lr"])
    assert expected[0] == pytest.approx(1.0, abs=1e-5)
    assert expected[49] < 0.2
    assert rates(schedule, 50) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "poly", "tanh"])
def test_falling_schedules_rise_over_the_warm_up(schedule: str) -> None:
    found = rates(schedule, 10, 0.2)
    assert found[:3] == pytest.approx([1 / 3, 2 / 3, 1.0], abs=1e-5)
    assert found[2:] == sorted(found[2:], reverse=True)


@pytest.mark.parametrize(("total", "warmup"), [(102, 0.2), (10, 0.3), (1000, 0.05)])
def test_one_cycle_is_torchs(total: int, warmup: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, pct_start=warmup, cycle_momentum=False
    )
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step() if len(expected) < total else None
    assert rates("one-cycle", total, warmup) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_one_cycle_of_a_single_step_is_its_peak() -> None:
    assert rates("one-cycle", 1, 0.2) == [1.0]


def test_slanted_is_ulmfits_triangle() -> None:
    # Howard & Ruder, equation 3, by hand: T = 100, cut 0.1, ratio 32.
    found = rates("slanted", 100)
    assert found[0] == pytest.approx(1 / 32)
    assert found[10] == pytest.approx(1.0)
    assert found[5] == pytest.approx((1 + 0.5 * 31) / 32)
    assert found[55] == pytest.approx((1 + 0.5 * 31) / 32)


def test_momentum_swings_against_the_rate_as_torchs_does() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=100, pct_start=0.2
    )
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        oracle.step() if len(expected) < 100 else None
    found = [0.9 + momentum("one-cycle", step, 100, 0.2) for step in range(100)]
    assert found == pytest.approx(expected)
    assert momentum("cosine", 3, 100, 0.2) == 0.0
