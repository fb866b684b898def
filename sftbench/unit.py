"""A work unit: one cell, or several whose heads train together, each with a record of its own."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence

from sftbench.assembly import Shared, build_workspace, resolve
from sftbench.cell import (
    Draft,
    Kept,
    describe,
    failure_of,
    pretrain_first,
    provenance_of,
    record_of,
    run_cell_safely,
)
from sftbench.engine.clock import Clock
from sftbench.engine.heads import train_heads
from sftbench.engine.runtime import products_in
from sftbench.engine.training import Fitted, finish
from sftbench.engine.workspace import Progress, Workspace
from sftbench.errors import DivergedError
from sftbench.names import cause
from sftbench.plan import Cell
from sftbench.records import Record, now
from sftbench.warm import Warm
from sftbench.weights import parse_weights

Told = Callable[[Sequence[Cell]], Progress]
"""Is told which cells begin together; what it returns is told how far they are."""

_log = logging.getLogger(__name__)


def run_unit(cells: Sequence[Cell], warm: Warm, told: Told) -> Iterator[tuple[Record, Kept | None]]:
    """Run cells as one problem where that is possible, else one after another.

    Args:
        cells: From `sftbench.executors.units.work_units`.
        warm: Of this process.
        told: Hears of every beginning.

    Yields:
        For each cell its record and predictions, as `run_cell_safely` gives them.
    """
    together = _run_together(cells, warm, told(cells)) if len(cells) > 1 else None
    if together is not None:
        yield from together
        return
    if not warm.is_usable:
        raise RuntimeError("the device no longer answers after cells were run together")
    for cell in cells:
        yield run_cell_safely(cell, warm, told([cell]))


def _run_together(
    cells: Sequence[Cell], warm: Warm, progress: Progress
) -> list[tuple[Record, Kept | None]] | None:
    """Return every cell's end, or None: they must run one by one."""
    drafts = [Draft(started_at=now()) for _ in cells]
    failed = False
    try:
        with products_in(warm.device, cells[0].protocol.precision):
            return _ends(cells, drafts, warm, progress)
    except Exception as error:  # noqa: BLE001 - alone, each cell shows whose mistake it is
        _log.info("%d cells run one by one, not together: %s", len(cells), cause(error))
        failed = True
        return None
    finally:
        for draft in drafts:
            draft.ws = None
        if failed:
            gc.collect()  # what an exception passed through may hold itself, too
        warm.release()


def _ends(
    cells: Sequence[Cell], drafts: Sequence[Draft], warm: Warm, progress: Progress
) -> list[tuple[Record, Kept | None]] | None:
    every = [resolve(cell, warm) for cell in cells]
    if parse_weights(every[0].strategy.weights(cells[0].weights)).kind == "none":
        return None  # each seed has random features of its own
    pretrain_first(cells[0], every[0], warm, progress)
    clock = Clock(warm.device)
    clock.shared_by = len(cells)
    shared: Shared | None = None
    workspaces: list[Workspace] = []
    for cell, parts, draft in zip(cells, every, drafts, strict=True):
        ws = build_workspace(cell, parts, warm, progress, shared, clock)
        shared = shared or Shared(ws.model.backbone, parts.start, ws.known)
        draft.ws = ws
        draft.fields["provenance"] = provenance_of(cell, parts, warm, ws)
        workspaces.append(ws)
    trained = train_heads(workspaces)
    if trained is None:
        return None
    kept: list[Kept | None] = []
    ends_of = zip(cells, every, drafts, workspaces, trained, strict=True)
    for cell, parts, draft, ws, end in ends_of:
        draft.fields["memory"] = drafts[0].fields.get("memory") or clock.memory()
        fitted = finish(ws, end) if isinstance(end, Fitted) else None
        kept.append(None if fitted is None else describe(cell, parts, warm, draft, fitted))
    # Records are made at the end, so that all have an equal share of the time.
    ends = []
    for cell, draft, end, predictions in zip(cells, drafts, trained, kept, strict=True):
        if isinstance(end, DivergedError):
            record = record_of(cell, draft, "diverged", failure_of(end))
        else:
            record = record_of(cell, draft, "ok", None)
        ends.append((record, predictions))
    return ends
