"""The pace of a stage: its steps, the ends of its epochs, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable

from sftbench.engine import order
from sftbench.engine.epochs import Point
from sftbench.engine.workspace import Workspace

_SECONDS_BETWEEN_REPORTS = 0.25


def drive(
    ws: Workspace,
    stage: str,
    draws: int,
    *,
    step: Callable[[int, slice], float],
    after_first: Callable[[Point], None],
    end_epoch: Callable[[Point], None],
) -> None:
    """Take every step of a stage's budget, on the clock.

    Args:
        ws: Its protocol, clock and progress.
        stage: Its name.
        draws: Its target examples.
        step: Takes step number N on these of the draws; returns a rate for the history.
        after_first: Called after the first step.
        end_epoch: Called where as many examples were drawn as the variant has, and at the end.
    """
    per_epoch = len(ws.data.train_indices)
    sizes = order.batch_sizes(draws, ws.protocol.batch_size)
    drawn, epoch, reported = 0, 0, 0.0
    for number, size in enumerate(sizes):
        # Kernels are chosen and memory is taken in the first step of a stage.
        with ws.clock.measure("train" if number else "warmup", synchronise=number == 0):
            rate = step(number, slice(drawn, drawn + size))
        drawn += size
        if number == 0:
            after_first(Point(stage, 1, 0.0, rate))
        last = drawn == draws
        if last or drawn // per_epoch > epoch:
            epoch = drawn // per_epoch
            with ws.clock.measure("train"):
                pass  # what the device still has to do belongs to training
            end_epoch(Point(stage, number + 1, drawn / per_epoch, rate, is_last=last))
        if last or time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            ws.progress(stage, number + 1, len(sizes), {})
