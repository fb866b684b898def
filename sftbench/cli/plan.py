"""`sftbench plan`: what would run, what is done, what it will cost, what it can show."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sftbench.cli.axes import make_session, plan_options
from sftbench.cli.reliability import reliability_options
from sftbench.names import one_line

if TYPE_CHECKING:
    from sftbench.estimate import Detectable
    from sftbench.plan import Cell, Plan
    from sftbench.store import Store


@click.command()
@plan_options
@reliability_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def plan(**options: Any) -> int:
    """Print the cells that `sftbench run` would run with the same options.

    And what of them is done, the cost by the records in --out, and the smallest difference that the
    seeds can detect.
    """
    from sftbench.cli.telling import telling

    with telling() as told:
        session = make_session(options, check=False, told=told)
    print_plan(session.plan, session.due, session.store, as_json=options["as_json"])
    return 0


def print_plan(plan: Plan, due: Sequence[Cell], store: Store, *, as_json: bool) -> None:
    """Print a plan: its groups, what is due, an estimate of the cost, what it can detect."""
    from sftbench.estimate import detectable, estimate_seconds

    groups: dict[tuple[str, ...], list[Cell]] = {}
    group_of = {}
    for cell in plan.cells:
        group = cell.group
        group_of[cell.cell_id] = group
        groups.setdefault(group, []).append(cell)
    waiting = [cell.cell_id for cell in due]
    records = list(store.scan().records.values())
    seconds = estimate_seconds((group_of[cell_id] for cell_id in waiting), records)
    shows = detectable(plan, groups, records, store.plans())
    if as_json:
        click.echo(json.dumps(_document(plan, waiting, seconds, shows), indent=2))
        return
    due_of = Counter(group_of[cell_id] for cell_id in waiting)
    for group, (cell, *others) in groups.items():
        click.echo(
            f"{cell.backbone}  {cell.weights}  {cell.dataset}  {cell.variant}  {cell.strategy}"
            f"  {1 + len(others)} seeds, {due_of[group]} to run"
        )
    for measured in dict.fromkeys(", ".join(cell.protocol.evaluate) for cell in plan.cells):
        if measured:
            click.echo(f"measured besides: {one_line(measured)}")
    for reason, count in Counter(skip.reason for skip in plan.skipped).items():
        click.echo(f"skipped: {count} cells: {one_line(reason)}")
    click.echo(f"{len(plan.cells)} cells, {len(due)} to run, {len(plan.skipped)} skipped")
    if not due:
        click.echo("nothing to run: every cell has a record")
    elif seconds is None:
        click.echo("cost: no comparable cell has run here yet, so there is no estimate")
    else:
        click.echo(f"cost: about {seconds:,.0f} s of one worker, by the records in {store.path}")
    for line in _lines(shows):
        click.echo(line)


def _document(
    plan: Plan, waiting: Sequence[str], seconds: float | None, shows: Sequence[Detectable]
) -> dict[str, Any]:
    """Return the plan for another program."""
    due = set(waiting)
    ids = [(cell.cell_id, cell) for cell in plan.cells]
    return {
        "plan_id": plan.plan_id,
        "cells": [
            {"cell_id": cell_id, "due": cell_id in due, **_axes(cell)} for cell_id, cell in ids
        ],
        "skipped": [{**_axes(skip.cell), "reason": skip.reason} for skip in plan.skipped],
        "due": len(due),
        "estimated_seconds": seconds,
        "detectable": [dataclasses.asdict(one) for one in shows],
    }


def _lines(shows: Sequence[Detectable]) -> Iterator[str]:
    """Say what the seeds can show: a line for each number of seeds, one for each known spread."""
    kinds: dict[tuple[int, int], list[Detectable]] = {}
    for one in shows:
        kinds.setdefault((one.num_seeds, one.num_comparisons), []).append(one)
    for (num_seeds, num_comparisons), same in kinds.items():
        first = same[0]
        yield (
            f"{num_seeds} seeds, {num_comparisons} comparisons: adjusted p can reach "
            f"{first.smallest_p:.3f}; {_verdict(first)}"
        )
        for one in same:
            if one.difference is not None:
                yield (
                    f"  {one.strategy} against {one.against}, {one.backbone} on {one.dataset}/"
                    f"{one.variant}: sd {one.deviation:.3g} over {one.num_pairs} pairs here, so a "
                    f"difference of {one.difference:.2g} in {one.metric}"
                )


def _verdict(one: Detectable) -> str:
    if one.in_deviations is not None:
        return (
            f"detects a true difference of {one.in_deviations:.2g} sd of the paired differences "
            f"with 80 % power"
        )
    if one.seeds_needed is None:
        return "no number of seeds is enough for a verdict"
    return f"no comparison can decide: inconclusive (needs {one.seeds_needed} seeds)"


def _axes(cell: Cell) -> dict[str, Any]:
    return {
        "backbone": cell.backbone,
        "weights": cell.weights,
        "dataset": cell.dataset,
        "variant": cell.variant,
        "strategy": cell.strategy,
        "seed": cell.seed,
        **({"evaluate": list(cell.protocol.evaluate)} if cell.protocol.evaluate else {}),
    }
