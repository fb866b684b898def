"""What a plan costs and what its seeds can show, by records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from support.records import make_cell, make_record

from sftbench.estimate import Detectable, Group, detectable, estimate_seconds
from sftbench.plan import Cell, Plan
from sftbench.records import Record, Timing
from sftbench.verdicts.power import smallest_detectable

STRATEGIES = ("head-only", "full", "lp-ft")


def make_plan(num_seeds: int, strategies: Sequence[str] = STRATEGIES, **changes: object) -> Plan:
    cells = [
        make_cell(strategy=name, seed=seed) for name in strategies for seed in range(num_seeds)
    ]
    return Plan(cells=tuple(cells), **changes)


def grouped(plan: Plan) -> dict[Group, list[Cell]]:
    groups: dict[Group, list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(cell.group, []).append(cell)
    return groups


def shows(
    plan: Plan, records: Sequence[Record] = (), others: Sequence[Plan] = ()
) -> list[Detectable]:
    return detectable(plan, grouped(plan), records, others)


def record(strategy: str, seed: int, accuracy: float) -> Record:
    values = {split: {"accuracy": accuracy, "nll": 0.5} for split in ("test", "val")}
    cell = make_cell(strategy=strategy, seed=seed)
    return make_record(cell, metrics={"selected": values, "last": values})


def test_without_records_it_is_told_in_deviations() -> None:
    full, lp_ft = shows(make_plan(7))
    assert (full.strategy, lp_ft.strategy) == ("full", "lp-ft")
    assert (full.against, full.num_seeds, full.num_comparisons) == ("head-only", 7, 2)
    assert full.smallest_p == 2 * 2 / 2**7
    assert full.seeds_needed == 7
    assert full.in_deviations == smallest_detectable(7, 0.05 / 2)
    assert (full.num_pairs, full.deviation, full.difference, full.metric) == (0, None, None, None)


def test_records_of_the_same_pair_give_the_deviation() -> None:
    mine, theirs = [0.50, 0.61, 0.55, 0.90], [0.40, 0.42, 0.44]
    records = [record("full", seed, value) for seed, value in enumerate(mine)]
    records += [record("head-only", seed, value) for seed, value in enumerate(theirs)]
    records += [record("lp-ft", seed, 0.5) for seed in range(2)]
    records.append(make_record(make_cell(strategy="head-only", seed=3), status="failed"))
    full, lp_ft = shows(make_plan(7), records)
    deviation = np.std([0.10, 0.19, 0.11], ddof=1)
    assert (full.num_pairs, full.metric) == (3, "accuracy")
    assert full.deviation == pytest.approx(deviation)
    assert full.difference == pytest.approx(deviation * (full.in_deviations or 0))
    # Two pairs say too little.
    assert (lp_ft.num_pairs, lp_ft.deviation, lp_ft.difference) == (2, None, None)


def test_too_few_seeds_and_an_alpha_out_of_reach() -> None:
    few = shows(make_plan(3))[0]
    assert (few.in_deviations, few.seeds_needed) == (None, 7)
    strict = shows(make_plan(3, criteria={"alpha": 1e-9}))[0]
    assert (strict.in_deviations, strict.seeds_needed) == (None, None)


def test_what_the_store_has_planned_belongs_to_the_family() -> None:
    plan = make_plan(7, ["head-only", "full"])
    assert shows(plan)[0].num_comparisons == 1
    assert shows(plan, others=[make_plan(7)])[0].num_comparisons == 2
    elsewhere = Plan(cells=(make_cell(strategy="lp-ft", dataset="other"),))
    assert shows(plan, others=[elsewhere])[0].num_comparisons == 1


def test_of_several_baselines_the_first_counts_as_in_the_table() -> None:
    groups = [("head-only", {"k": 1}), ("head-only", {"k": 2}), ("full", {})]
    cells = [
        make_cell(strategy=name, seed=seed, options=options)
        for name, options in groups
        for seed in range(3)
    ]
    values = [0.40, 0.42, 0.44, 0.1, 0.9, 0.1, 0.50, 0.61, 0.55]
    records = [
        make_record(one, metrics={"selected": {"test": {"accuracy": value}}})
        for one, value in zip(cells, values, strict=True)
    ]
    second, full = shows(Plan(cells=tuple(cells)), records)
    assert (second.strategy, full.strategy) == ("head-only", "full")
    assert full.deviation == pytest.approx(np.std([0.10, 0.19, 0.11], ddof=1))


def test_a_plan_without_its_baseline_compares_nothing() -> None:
    assert shows(make_plan(7, ["full", "lp-ft"])) == []
    assert shows(make_plan(7, ["head-only"])) == []


def test_cost_is_the_mean_of_the_groups_records() -> None:
    done = [
        make_record(make_cell(seed=seed), timing=Timing(total_seconds=seconds))
        for seed, seconds in enumerate((1.0, 3.0))
    ]
    due = make_cell(seed=7).group
    assert estimate_seconds([due, due], done) == 4.0
    assert estimate_seconds([due, make_cell(strategy="full").group], done) is None
    assert estimate_seconds([], []) == 0.0
