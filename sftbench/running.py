"""Run a plan: what is due, on an executor, with everyone told, into a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from sftbench.catalog import Catalog
from sftbench.contracts.execution import Event, Executor, Job, Tracker
from sftbench.executors.saving import storing
from sftbench.heartbeat import beating
from sftbench.plan import Cell, Plan
from sftbench.provenance import versions
from sftbench.records import Record
from sftbench.store import Store, due

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Which cells with a record run again, besides those missing or interrupted."""

    retry_failed: bool = False
    refresh: bool = False
    force: bool = False


def is_stale(record: Record) -> bool:
    """Tell whether a record was made with other versions than those installed now."""
    found = record.provenance.get("versions")
    return record.status == "ok" and found is not None and found != versions()


def due_cells(plan: Plan, store: Store, again: Again) -> list[Cell]:
    """Return the cells of a plan that must run, in the order that reuses a worker's memory."""
    cells = due(
        plan.cells,
        store.scan(),
        retry_failed=again.retry_failed,
        refresh=again.refresh,
        force=again.force,
        is_stale=is_stale,
    )
    return sorted(cells, key=lambda cell: (cell.backbone, cell.weights, cell.dataset))


def run_plan(
    plan: Plan,
    cells: Sequence[Cell],
    job: Job,
    executor: Executor,
    listeners: Iterable[Callable[[Event], None]] = (),
    trackers: Sequence[Tracker] = (),
) -> None:
    """Keep the plan in the store and run `cells` of it.

    Raises:
        KeyboardInterrupt: The user stopped; finished cells are kept.
        RequestError: The store is not writable.
        StorageError: The disk is full or fails; finished cells are kept.
    """
    store = Store(job.out)
    with storing(store):
        store.add_plan(plan)
    for tracker in trackers:
        _guarded(tracker, partial(tracker.start, plan, job))
    if not cells:
        _close(trackers)
        return
    with beating(store.path, plan.plan_id, len(cells)) as beat:
        _run(cells, job, executor, [beat, *listeners], trackers)


def _run(
    cells: Sequence[Cell],
    job: Job,
    executor: Executor,
    listeners: Sequence[Callable[[Event], None]],
    trackers: Sequence[Tracker],
) -> None:
    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)
        for tracker in trackers:
            _guarded(tracker, partial(tracker.event, event))

    try:
        executor.run(cells, job, emit)
    finally:
        _close(trackers)


def _close(trackers: Sequence[Tracker]) -> None:
    for tracker in trackers:
        _guarded(tracker, tracker.close)


def _guarded(tracker: Tracker, call: Callable[[], None]) -> None:
    """Let a tracker's mistake stop nothing, and say it."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - a tracker is a plugin and may raise anything
        _log.warning("tracker %r: %s: %s", tracker.name, type(error).__name__, error)


def executor_for(catalog: Catalog, name: str) -> Executor:
    """Return the executor of that name."""
    component = catalog.create("executor", name)
    assert isinstance(component, Executor)  # noqa: S101 - the catalog checked the class
    return component
