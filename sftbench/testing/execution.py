"""Rules for executors and trackers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sftbench.api import CellFinished, CellProgress, CellStarted, Event, Executor, Job, Tracker
from sftbench.plan import Plan
from sftbench.planning import make_plan
from sftbench.records import Failure, ended, now
from sftbench.request import Request
from sftbench.testing.tiny import TinyBackbone, TinyImages, tiny_catalog


def no_cells_are_no_work(executor: Executor) -> str | None:
    """A plan whose cells are all done ends at once, and nobody hears of a cell."""
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as folder:
        executor.run([], Job(out=Path(folder)), events.append)
    return f"run([]) emitted {len(events)} events" if events else None


def a_run_can_be_followed(tracker: Tracker) -> str | None:
    """Start, an event of every type, and close."""
    plan = _tiny_plan()
    cell = plan.cells[0]
    failed = ended(cell, "failed", Failure(type="ValueError", message="no"), now())
    with tempfile.TemporaryDirectory() as folder:
        tracker.start(plan, Job(out=Path(folder)))
        tracker.event(CellStarted(cell, worker=0))
        tracker.event(CellProgress(cell.cell_id, "train", 1, 3, {"loss": 1.0}))
        tracker.event(CellFinished(failed))
        tracker.event(CellFinished(failed.model_copy(update={"status": "ok", "error": None})))
        tracker.close()
    return None


def an_empty_run_can_be_followed(tracker: Tracker) -> str | None:
    """Start and close without an event between, as when the user stops at once."""
    with tempfile.TemporaryDirectory() as folder:
        tracker.start(_tiny_plan(), Job(out=Path(folder)))
        tracker.close()
    return None


def _tiny_plan() -> Plan:
    request = Request(
        backbone=(TinyBackbone.name,), dataset=(TinyImages.name,), strategy=("full",), seeds=(0,)
    )
    return make_plan(request, tiny_catalog(), "fp32")


EXECUTOR = (no_cells_are_no_work,)
TRACKER = (a_run_can_be_followed, an_empty_run_can_be_followed)
