"""Learning-rate schedules, as a factor of the peak rate at each step."""

from __future__ import annotations

import math

from sftbench.protocol import Schedule

_ONE_CYCLE_START = 25.0
_ONE_CYCLE_END = 1e4
_MOMENTUM_SWING = 0.05
_SLANTED_CUT, _SLANTED_RATIO = 0.1, 32.0


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
            `cosine`: a half cosine to 0. These three rise linearly over the warm-up.
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
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if schedule == "step":
        shares, less = steps
        return 1.0 / (1.0 / less) ** sum(done >= share for share in shares)
    return 1.0


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
