"""A run from Python or from the command line: request, plan, executor, results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from sftbench.cache import limit_bytes
from sftbench.catalog import Catalog
from sftbench.contracts.execution import Event, Executor, Job, Placement, Tracker
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError, about
from sftbench.names import shown
from sftbench.plan import Cell, Plan
from sftbench.planning import make_plan
from sftbench.preparation import (
    Told,
    check_data,
    check_outside,
    check_streams,
    check_weights,
    files_of,
    prepare_weights,
)
from sftbench.protocol import named_protocol
from sftbench.request import MAIN_JOB, Request
from sftbench.results import Results
from sftbench.running import Again, due_cells, run_plan
from sftbench.store import Store


@dataclass(slots=True, kw_only=True)
class Session:
    """A plan that is ready to run: nothing has run yet, and every name in it was found."""

    catalog: Catalog
    plan: Plan
    due: list[Cell]
    store: Store
    job: Job
    executor: Executor
    trackers: Sequence[Tracker]

    @classmethod
    def make(
        cls,
        request: Request,
        *,
        job: Job,
        again: Again,
        executor: str = "local",
        trackers: Sequence[str] = (),
        check: bool = True,
        told: Told | None = None,
    ) -> Session:
        """Plan a request and look for its data and weights.

        Raises:
            RequestError: Something in the request is wrong.
            UnavailableError: Data or weights cannot be had.
        """
        from sftbench.engine.optimizers import check_optimizer
        from sftbench.engine.runtime import usual_precision
        from sftbench.probing import Precisions, check_compile

        tell = told or Told()
        limit_bytes()  # what is wrong with the cache's limit is told at once
        catalog = build_catalog(chosen=job.plugins)
        where = cast(Executor, catalog.create("executor", executor))
        listening = [cast(Tracker, catalog.create("tracker", name)) for name in trackers]
        check_compile(job)
        precisions = Precisions(job, tell)
        precisions.check(named_protocol(request.protocol, request.changes).precision)
        plan = make_plan(request, catalog, usual_precision(job.device), precisions.auto)
        for optimizer in {cell.protocol.optimizer for cell in plan.cells}:
            with about("changes", "optimizer"):
                check_optimizer(optimizer)
        store = Store(job.out)
        due = due_cells(plan, store, again)
        if check:
            check_data(due, catalog, tell)
            check_streams(due, catalog)
            check_outside(due, catalog)
            check_weights(due, files_of(request), catalog, tell)
        return cls(
            catalog=catalog,
            plan=plan,
            due=due,
            store=store,
            job=job,
            executor=where,
            trackers=listening,
        )

    def prepare(self, told: Told | None = None) -> None:
        """Bring what the due cells start from, and measure what pays, before any of them runs.

        Raises:
            UnavailableError: Weights cannot be had after all.
        """
        from sftbench.probing import prepare_engine

        self.job = prepare_engine(self.due, self.catalog, self.job, told or Told())
        prepare_weights(self.due, self.catalog, self.job, told or Told())

    def execute(self, listeners: Iterable[Callable[[Event], None]] = ()) -> None:
        """Run the cells that are due.

        Raises:
            KeyboardInterrupt: The user stopped; finished cells are kept.
        """
        run_plan(self.plan, self.due, self.job, self.executor, listeners, self.trackers)

    def results(self) -> Results:
        """Return what the store holds now."""
        return Results(self.store.path, catalog=self.catalog)


def run(
    *,
    out: str | Path = "sftbench-results",
    device: str = "auto",
    executor: str = "local",
    jobs: int | None = None,
    timeout: float | None = None,
    deterministic: bool = False,
    placement: Placement = "auto",
    memory_format: Literal["auto", "channels-last", "contiguous"] = "auto",
    compile: Literal["auto", "on", "off"] = "auto",  # noqa: A002 - torch's own word for it
    retry_failed: bool = False,
    refresh: bool = False,
    force: bool = False,
    trackers: Sequence[str] = (),
    listeners: Iterable[Callable[[Event], None]] = (),
    **request: Any,
) -> Results:
    """Run every combination of the axes and return the results of the store.

    Args:
        out: Folder of the records.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        executor: Where cells run.
        jobs: Workers at a time; None: chosen for the machine.
        timeout: Seconds for one cell.
        deterministic: The same bits for the same cell on this machine.
        placement: `device`: training data is brought there whole; `stream`: it is read ahead in
            batches; `auto`: what fits is brought there. It changes no result.
        memory_format: `auto`: as a measurement here says, else by a rule of thumb.
        compile: Whether networks are compiled; `auto`: where that is known to pay.
        retry_failed: Run cells again that did not end well.
        refresh: Run cells again that were made with other versions.
        force: Run every cell again.
        trackers: Names of those who are told too.
        listeners: Called with each event, in this process.
        **request: Fields of `sftbench.request.Request`: `backbone`, `weights`, `dataset`,
            `variant`, `strategy`, `seeds` (one value or several), `protocol`, `changes`,
            `settings`, `baseline`, `criteria`. Without any axis it is the embedded main job.

    Raises:
        RequestError: Something in the request is wrong.
        UnavailableError: Data or weights cannot be had.
        KeyboardInterrupt: The user stopped; finished cells are kept.
    """
    from sftbench.engine.runtime import resolve_devices
    from sftbench.options import validate

    axes = ("backbone", "weights", "dataset", "variant", "strategy")
    values = request if any(axis in request for axis in axes) else {**MAIN_JOB, **request}
    job = Job(
        out=Path(out),
        devices=resolve_devices(device),
        jobs=jobs,
        timeout=timeout,
        deterministic=deterministic,
        memory_format=memory_format,
        compile=compile,
        plugins=os.environ.get("SFTBENCH_PLUGINS"),
        placement=_checked(placement),
    )
    session = Session.make(
        validate(Request, values, "request"),
        job=job,
        again=Again(retry_failed=retry_failed, refresh=refresh, force=force),
        executor=executor,
        trackers=trackers,
    )
    session.prepare()
    session.execute(listeners)
    return session.results()


def _checked(placement: Placement) -> Placement:
    """Return a placement that there is.

    Raises:
        RequestError: There is no such one.
    """
    if placement not in get_args(Placement):
        known = ", ".join(get_args(Placement))
        raise RequestError(f"unknown placement {shown(str(placement))}; known: {known}")
    return placement
