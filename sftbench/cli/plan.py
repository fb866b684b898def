"""`sftbench plan`: what would run, what is done, what it will cost, what it can show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sftbench.cli.axes import make_session, plan_options

if TYPE_CHECKING:
    from sftbench.plan import Cell, Plan
    from sftbench.store import Store


@click.command()
@plan_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def plan(**options: Any) -> int:
    """Print the cells that `sftbench run` would run with the same options."""
    session = make_session(options, check=False)
    print_plan(session.plan, session.due, session.store, as_json=options["as_json"])
    return 0


def print_plan(plan: Plan, due: Sequence[Cell], store: Store, *, as_json: bool) -> None:
    """Print a plan: a row for each group, what is due, and an estimate of the cost."""
    from sftbench.estimate import detectable, estimate_seconds

    seconds = estimate_seconds(due, store.scan().records.values())
    waiting = {cell.cell_id for cell in due}
    if as_json:
        cells = [
            {"cell_id": cell.cell_id, "due": cell.cell_id in waiting, **_axes(cell)}
            for cell in plan.cells
        ]
        skipped = [{**_axes(skip.cell), "reason": skip.reason} for skip in plan.skipped]
        document = {
            "plan_id": plan.plan_id,
            "cells": cells,
            "skipped": skipped,
            "due": len(due),
            "estimated_seconds": seconds,
        }
        click.echo(json.dumps(document, indent=2))
        return
    groups = Counter(cell.group for cell in plan.cells)
    due_of = Counter(cell.group for cell in due)
    first = {cell.group: cell for cell in reversed(plan.cells)}
    for group, count in groups.items():
        cell = first[group]
        click.echo(
            f"{cell.backbone}  {cell.weights}  {cell.dataset}  {cell.variant}  {cell.strategy}"
            f"  {count} seeds, {due_of[group]} to run"
        )
    for reason, count in Counter(skip.reason for skip in plan.skipped).items():
        click.echo(f"skipped: {count} cells: {reason}")
    click.echo(f"{len(plan.cells)} cells, {len(due)} to run, {len(plan.skipped)} skipped")
    if not due:
        click.echo("nothing to run: every cell has a record")
    elif seconds is None:
        click.echo("cost: no comparable cell has run here yet, so there is no estimate")
    else:
        click.echo(f"cost: about {seconds:,.0f} s of one worker, by the records in {store.path}")
    for line in detectable(plan):
        click.echo(line)


def _axes(cell: Cell) -> dict[str, Any]:
    return {
        "backbone": cell.backbone,
        "weights": cell.weights,
        "dataset": cell.dataset,
        "variant": cell.variant,
        "strategy": cell.strategy,
        "seed": cell.seed,
    }
