"""The search of a cell: its settings are trained one by one, or as one batched problem."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from sftbench.assembly import CellParts, Shared, build_workspace, resolve
from sftbench.engine.clock import Clock
from sftbench.engine.heads import train_heads
from sftbench.engine.training import Fitted, fit
from sftbench.engine.workspace import Progress, Work, Workspace
from sftbench.errors import DivergedError
from sftbench.plan import Cell
from sftbench.search import OF_OPTIMIZER, trials
from sftbench.warm import Warm
from sftbench.weights import parse_weights

Row = dict[str, Any]


@dataclass(slots=True)
class Trial:
    """One setting: what it was laid out with, and how its training ended."""

    options: dict[str, float]
    parts: CellParts
    ws: Workspace
    end: Fitted | DivergedError | None = None
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """The primary metric on validation; minus infinity where it diverged."""
        return self.end.score(self.ws) if isinstance(self.end, Fitted) else -float("inf")

    def row(self, chosen: Trial) -> Row:
        """Return what the record says of it."""
        val = self.score if isinstance(self.end, Fitted) else None
        return {
            "options": self.options,
            "val": val,
            "seconds": self.seconds,
            "chosen": self is chosen and val is not None,
        }


def search(
    cell: Cell, warm: Warm, progress: Progress, seen: Callable[[Workspace], None]
) -> tuple[Trial, list[Row]]:
    """Train every setting of a cell on the same data, from the same start; return the best.

    The test split is not read. Among equal scores the earlier setting is chosen. The winner's
    work is that of all settings, and its clock has run through them.

    Args:
        cell: With something to tune.
        warm: Of this process.
        progress: Is told how far each is.
        seen: Is shown the workspace of each setting before it trains.

    Returns:
        The winner, and a row for each setting; where every one diverged, the winner is the first.
    """
    clock = Clock(warm.device)
    given = trials(cell.protocol)
    tried = _together(cell, given, warm, progress, clock, seen)
    tried = tried or _one_by_one(cell, given, warm, progress, clock, seen)
    best = max(tried, key=lambda trial: trial.score)
    total = Work()
    for name in (field.name for field in fields(Work)):
        setattr(total, name, sum(getattr(trial.ws.work, name) for trial in tried))
    best.ws.work = total
    return best, [trial.row(best) for trial in tried]


def _lay_out(
    cell: Cell, warm: Warm, progress: Progress, clock: Clock, shared: Shared | None = None
) -> tuple[CellParts, Workspace]:
    parts = resolve(cell, warm)  # a strategy of its own: it may remember things
    return parts, build_workspace(cell, parts, warm, progress, shared, clock)


def _one_by_one(
    cell: Cell,
    given: list[tuple[dict[str, float], Any]],
    warm: Warm,
    progress: Progress,
    clock: Clock,
    seen: Callable[[Workspace], None],
) -> list[Trial]:
    tried: list[Trial] = []
    for options, protocol in given:
        start = time.perf_counter()
        one = cell.model_copy(update={"protocol": protocol})
        parts, ws = _lay_out(one, warm, progress, clock)
        seen(ws)
        trial = Trial(options, parts, ws)
        try:
            trial.end = fit(ws)
        except DivergedError as error:
            trial.end = error
        trial.seconds = time.perf_counter() - start
        tried.append(trial)
        _forget_all_but_the_best(tried)
    return tried


def _forget_all_but_the_best(tried: list[Trial]) -> None:
    """Let go of the networks that cannot win: memory holds two, however many settings there are."""
    best = max(tried, key=lambda trial: trial.score)
    for trial in tried:
        if trial is not best and isinstance(trial.end, Fitted):
            trial.end.forget(trial.ws)


def _together(
    cell: Cell,
    given: list[tuple[dict[str, float], Any]],
    warm: Warm,
    progress: Progress,
    clock: Clock,
    seen: Callable[[Workspace], None],
) -> list[Trial] | None:
    """Train the heads of all settings as one problem; None where that cannot be."""
    first = resolve(cell, warm).strategy
    alone = warm.job.deterministic or not first.heads_together or len(given) < 2
    random = parse_weights(first.weights(cell.weights)).kind == "none"
    if alone or random or not set(cell.protocol.tune) <= OF_OPTIMIZER:
        return None
    start = time.perf_counter()
    tried: list[Trial] = []
    shared: Shared | None = None
    for options, protocol in given:
        one = cell.model_copy(update={"protocol": protocol})
        parts, ws = _lay_out(one, warm, progress, clock, shared)
        shared = shared or Shared(ws.model.backbone, parts.start, ws.known)
        seen(ws)
        tried.append(Trial(options, parts, ws))
    ends = train_heads([trial.ws for trial in tried])
    if ends is None:
        return None
    for trial, end in zip(tried, ends, strict=True):
        trial.end = end
        trial.seconds = (time.perf_counter() - start) / len(tried)
    return tried
