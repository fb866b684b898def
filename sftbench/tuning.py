"""The search of a cell: its settings are trained one by one, or as one batched problem."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from sftbench.assembly import CellParts, Shared, build_workspace, resolve
from sftbench.contracts.strategy import Strategy
from sftbench.engine.clock import Clock
from sftbench.engine.heads import train_heads
from sftbench.engine.training import Fitted, fit
from sftbench.engine.workspace import Progress, Work, Workspace
from sftbench.errors import DivergedError
from sftbench.plan import Cell
from sftbench.protocol import Protocol
from sftbench.search import OF_OPTIMIZER, trials
from sftbench.warm import Warm
from sftbench.weights import parse_weights

Row = dict[str, Any]


@dataclass(slots=True)
class Trial:
    """One setting: what it was laid out with, and how its training ended.

    `score` is the primary metric on validation, minus infinity where training diverged. `end` is
    None before the end, and once the network is let go of.
    """

    options: dict[str, float]
    parts: CellParts
    ws: Workspace
    end: Fitted | DivergedError | None = None
    seconds: float = 0.0
    score: float = -math.inf

    def ended(self, end: Fitted | DivergedError, seconds: float) -> None:
        """Take note of the end."""
        self.end, self.seconds = end, seconds
        if isinstance(end, Fitted):
            self.score = end.score(self.ws)

    def forget(self) -> None:
        """Let go of the network and of what was kept of it."""
        self.end = None
        self.ws.model.to("meta")
        self.ws.known.forget()
        self.ws.initial = {}
        self.ws.ctx.snapshots.clear()
        self.ws.ctx.validate = None

    def row(self, chosen: Trial) -> Row:
        """Return what the record says of it."""
        did_end = self.score > -math.inf
        return {
            "options": self.options,
            "val": self.score if did_end else None,
            "seconds": self.seconds,
            "chosen": self is chosen and did_end,
        }


LayOut = Callable[[dict[str, float], Protocol, Shared | None], Trial]


def search(
    cell: Cell,
    strategy: Strategy,
    warm: Warm,
    progress: Progress,
    seen: Callable[[Workspace], None],
) -> tuple[Trial, list[Row]]:
    """Train every setting of a cell on the same data, from the same start; return the best.

    The test split is not read. Among equal scores the earlier setting is chosen. The winner's
    work is that of all settings, and its clock has run through them.

    Args:
        cell: With something to tune.
        strategy: Of the cell; each setting has one of its own, since it may remember things.
        warm: Of this process.
        progress: Is told how far each is.
        seen: Is shown the workspace of each setting before it trains.

    Returns:
        The winner, and a row for each setting; where every one diverged, the winner is the first.
    """
    clock = Clock(warm.device)

    def lay_out(options: dict[str, float], protocol: Protocol, shared: Shared | None) -> Trial:
        one = cell.model_copy(update={"protocol": protocol})
        parts = resolve(one, warm)
        ws = build_workspace(one, parts, warm, progress, shared, clock)
        seen(ws)
        return Trial(options, parts, ws)

    given = trials(cell.protocol)
    stacked = len(given) > 1 and _can_be_stacked(cell, strategy, warm)
    tried = (_together(given, lay_out) if stacked else None) or _one_by_one(given, lay_out)
    best = max(tried, key=lambda trial: trial.score)
    total = Work()
    for name in (field.name for field in fields(Work)):
        setattr(total, name, sum(getattr(trial.ws.work, name) for trial in tried))
    best.ws.work = total
    return best, [trial.row(best) for trial in tried]


def _one_by_one(given: list[tuple[dict[str, float], Protocol]], lay_out: LayOut) -> list[Trial]:
    """Train each by itself; memory holds two networks, however many settings there are."""
    tried: list[Trial] = []
    best: Trial | None = None
    for options, protocol in given:
        start = time.perf_counter()
        trial = lay_out(options, protocol, None)
        end: Fitted | DivergedError
        try:
            end = fit(trial.ws)
        except DivergedError as error:
            end = error
        trial.ended(end, time.perf_counter() - start)
        tried.append(trial)
        if best is None:
            best = trial
        elif trial.score > best.score:
            best.forget()
            best = trial
        else:
            trial.forget()
    return tried


def _can_be_stacked(cell: Cell, strategy: Strategy, warm: Warm) -> bool:
    """Tell whether the heads of a cell's settings may train as one problem."""
    random = parse_weights(strategy.weights(cell.weights)).kind == "none"
    of_optimizer = set(cell.protocol.tune) <= OF_OPTIMIZER
    return strategy.heads_together and of_optimizer and not (random or warm.job.deterministic)


def _together(
    given: list[tuple[dict[str, float], Protocol]], lay_out: LayOut
) -> list[Trial] | None:
    """Train the heads of all settings as one problem; None where that cannot be."""
    start = time.perf_counter()
    tried: list[Trial] = []
    shared: Shared | None = None
    for options, protocol in given:
        trial = lay_out(options, protocol, shared)
        ws = trial.ws
        shared = shared or Shared(ws.model.backbone, trial.parts.start, ws.known)
        tried.append(trial)
    ends = train_heads([trial.ws for trial in tried])
    if ends is None:
        return None
    each = (time.perf_counter() - start) / len(tried)
    for trial, end in zip(tried, ends, strict=True):
        trial.ended(end, each)
    return tried
