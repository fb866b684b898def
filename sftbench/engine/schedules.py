"""Learning-rate schedules, as a factor of the peak rate at each step."""

from __future__ import annotations

import math
from collections.abc import Callable

from sftbench.protocol import Schedule

_ONE_CYCLE_START = 25.0
_ONE_CYCLE_END = 1e4
_MOMENTUM_SWING = 0.05
_SLANTED_CUT, _SLANTED_RATIO = 0.1, 32.0
_TANH_START, _TANH_END = -7.0, 3.0


def factor(
    schedule: Schedule,
    step: int,
    total: int,
    warmup: float,
    steps: tuple[tuple[float, ...], float] = ((0.5, 0.75), 0.1),
) -> float:
    """Return the factor of the peak rate for a step.

    Args:
        schedule: `constant`: 1. `step`: 1, and from each of certain shares on less.
            `linear`: to 0 in a line. `poly`: the root of that line. `tanh`: its start and end are
            flat, its middle steep. `cosine`: a half cosine to 0. All of these rise linearly over
            the warm-up; `poly` and `tanh` are timm's, with its defaults.
            `one-cycle`: cosine from 1/25 to 1 over the warm-up, then to 1/250,000; momentum goes
            the other way, as in torch's OneCycleLR. `slanted`: ULMFiT's triangle, cut 0.1,
            ratio 32; it has its own warm-up.
        step: From 0 to total - 1.
        total: Steps of the schedule.
        warmup: Share of the steps.
        steps: Of schedule `step`: shares of the steps after the warm-up, and what each of them
            multiplies the rate by.
    """
    if schedule == "slanted":
        return _slanted(step, total)
    rise = warmup * total
    if schedule == "one-cycle":
        return _one_cycle(step, total, rise)
    if step < rise:
        return (step + 1) / (rise + 1)
    done = (step - rise) / max(1.0, total - rise)
    if schedule == "step":
        shares, less = steps
        return 1.0 / (1.0 / less) ** sum(done >= share for share in shares)
    return _FALLS[schedule](done)


def momentum(schedule: Schedule, step: int, total: int, warmup: float) -> float:
    """Return what is added to the momentum (Adam's beta 1) at a step.

    Under `one-cycle` it falls from +0.05 to -0.05 over the warm-up and rises again to +0.05, so
    that 0.9 runs through 0.95, 0.85, 0.95 as in torch's OneCycleLR; else it is 0.
    """
    if schedule != "one-cycle":
        return 0.0
    top = max(0.0, warmup * total - 1.0)
    if step <= top:
        return _cosine(_MOMENTUM_SWING, -_MOMENTUM_SWING, step / top if top > 0 else 1.0)
    fall = total - 1.0 - top
    return _cosine(-_MOMENTUM_SWING, _MOMENTUM_SWING, (step - top) / fall)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def _tanh(done: float) -> float:
    """Source: Hsueh et al. 2019, "Stochastic Gradient Descent with Hyperbolic-Tangent Decay"."""
    return 0.5 * (1.0 - math.tanh(_TANH_START + (_TANH_END - _TANH_START) * done))


# From 1 at the peak (0) to the end (1).
_FALLS: dict[str, Callable[[float], float]] = {
    "constant": lambda _done: 1.0,
    "linear": lambda done: 1.0 - done,
    "poly": lambda done: math.sqrt(1.0 - done),
    "tanh": _tanh,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


def _one_cycle(step: int, total: int, rise: float) -> float:
    """Source: Smith & Topin 2017, in the form of torch.optim.lr_scheduler.OneCycleLR."""
    top = max(0.0, rise - 1.0)
    low = 1.0 / _ONE_CYCLE_START
    if step <= top:
        return _cosine(low, 1.0, step / top if top > 0 else 1.0)
    fall = total - 1.0 - top
    return _cosine(1.0, low / _ONE_CYCLE_END, (step - top) / fall if fall > 0 else 1.0)


def _slanted(step: int, total: int) -> float:
    """Source: Howard & Ruder 2018 (ULMFiT), equation 3."""
    cut = max(1, math.floor(total * _SLANTED_CUT))
    share = step / cut if step < cut else 1.0 - (step - cut) / max(1, total - cut)
    return (1.0 + share * (_SLANTED_RATIO - 1.0)) / _SLANTED_RATIO
