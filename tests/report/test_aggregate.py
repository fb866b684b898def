from __future__ import annotations

from typing import Any

import pytest
from support.tables import ExactScoring, by_id, cell, classes, ended, plan, record, results

from sftbench.errors import RequestError
from sftbench.plan import Plan, Skip
from sftbench.records import Memory, Record, Timing
from sftbench.report.aggregate import Row, Table, aggregate
from sftbench.report.flat import rows
from sftbench.verdicts.criteria import Criteria

# Most of these tests need no interval, so most have few examples.
SCORING = ExactScoring(num_examples=100)


def table_of(plans: Plan | list[Plan], records: dict[str, Record], **options: Any) -> Table:
    return aggregate(plans if isinstance(plans, list) else [plans], records, SCORING, **options)


def rows_of(table: Table) -> dict[str, Row]:
    (section,) = table.sections
    return {row.label: row for row in section.rows}


def test_mean_and_its_intervals() -> None:
    accuracies = [0.80, 0.82, 0.84]
    row = rows_of(table_of(plan(["full"], 3), results({"full": accuracies})))["full"]
    assert row.mean == row.mean_completed == pytest.approx(0.82)
    # Student's t with 2 degrees: 4.302653 * 0.02 / sqrt(3) = 0.049683
    assert row.seed_interval == pytest.approx((0.82 - 0.049683, 0.82 + 0.049683), abs=1e-6)
    assert row.population_interval is not None
    assert row.population_interval.estimate == pytest.approx(0.82)
    assert row.population_interval.low < row.seed_interval[0]
    assert (row.num_completed, row.num_expected, row.ends) == (3, 3, {"ok": 3})


def test_a_failed_or_missing_seed_nulls_the_mean() -> None:
    found = results({"full": [0.8] * 7, "lp-ft": [0.9] * 7, "head-only": [0.5] * 7})
    found |= by_id([ended(cell("full", 0), "out_of_memory")])
    del found[cell("lp-ft", 6).cell_id]
    by_label = rows_of(table_of(plan(["full", "lp-ft", "head-only"]), found))
    for label, end in (("full", "out_of_memory"), ("lp-ft", "missing")):
        row = by_label[label]
        assert (row.mean, row.seed_interval, row.population_interval) == (None, None, None)
        assert row.mean_completed == pytest.approx({"full": 0.8, "lp-ft": 0.9}[label])
        assert (row.num_completed, row.num_expected) == (6, 7)
        assert row.ends == {"ok": 6, end: 1}
        assert row.best == frozenset()
    assert [by_label[n].rank for n in ("head-only", "full", "lp-ft")] == [1, 3, 3]
    assert list(by_label) == ["head-only", "full", "lp-ft"]
    assert "mean" in by_label["head-only"].best


def test_ranks_share_ties_and_skip_the_place() -> None:
    # In floating point the two means are 0.20000000000000004 and 0.19999999999999998.
    values = {"a": [0.2] * 3, "b": [0.9] * 3, "c": [0.3, 0.2, 0.1], "d": [0.1] * 3}
    assert sum(values["a"]) / 3 != sum(values["c"]) / 3
    by_label = rows_of(table_of(plan(values, 3), results(values)))
    assert {label: row.rank for label, row in by_label.items()} == {"b": 1, "a": 2, "c": 2, "d": 4}
    assert list(by_label) == ["b", "a", "c", "d"]


def test_the_lowest_ranks_first_where_less_is_better() -> None:
    found = results({"a": [0.2] * 3, "b": [0.9] * 3})
    down = {
        key: one.model_copy(
            update={
                "metric_specs": tuple(
                    s.model_copy(update={"direction": "min"}) for s in one.metric_specs
                )
            }
        )
        for key, one in found.items()
    }
    by_label = rows_of(table_of(plan(["b", "a"], 3), down))
    assert [by_label[name].rank for name in "ab"] == [1, 2]
    assert "mean" in by_label["a"].best


def test_the_best_of_each_column_with_ties() -> None:
    def one(name: str, seconds: float, rate: float, rss: int, hits: list[int]) -> Record:
        return record(
            cell(name, 0),
            0.5,
            timing=Timing(total_seconds=seconds, examples_per_second=rate),
            memory=Memory(peak_rss_bytes=rss),
            per_class=classes(hits),
        )

    found = by_id([one("a", 5, 10, 100, [50, 40]), one("b", 4, 20, 100, [60, 30])])
    by_label = rows_of(table_of(plan("ab", 1), found))
    assert by_label["a"].best == {"mean", "worst_recall", "peak_bytes"}
    assert by_label["b"].best == {"mean", "seconds", "examples_per_second", "peak_bytes"}
    assert by_label["a"].worst_recall == 0.4


def test_memory_of_device_and_process_are_not_compared() -> None:
    found = by_id(
        [
            record(cell("a", 0), memory=Memory(peak_device_bytes=9, peak_rss_bytes=99)),
            record(cell("b", 0), memory=Memory(peak_rss_bytes=5)),
        ]
    )
    by_label = rows_of(table_of(plan("ab", 1), found))
    assert (by_label["a"].peak_bytes, by_label["a"].peak_kind) == (9, "device")
    assert (by_label["b"].peak_bytes, by_label["b"].peak_kind) == (5, "rss")
    assert not any("peak_bytes" in row.best for row in by_label.values())


def test_costs_are_means_and_the_highest_peak_of_completed_cells() -> None:
    found = by_id(
        [
            record(
                cell("a", seed),
                timing=Timing(total_seconds=seconds, examples_per_second=None),
                memory=Memory(peak_rss_bytes=rss),
            )
            for seed, (seconds, rss) in enumerate([(4, 7), (6, 9)])
        ]
        + [ended(cell("a", 2), "crashed").model_copy(update={"timing": Timing(total_seconds=99)})]
    )
    row = rows_of(table_of(plan("a", 3), found))["a"]
    assert (row.seconds, row.peak_bytes, row.examples_per_second) == (5.0, 9, None)


def test_other_weights_are_told() -> None:
    found = by_id(
        [
            record(cell("scratch", 0), provenance={"weights": {"effective": "none"}}),
            record(cell("full", 0)),
            record(cell("odd", 0), provenance={"weights": "no dict"}),
        ]
    )
    by_label = rows_of(table_of(plan(["scratch", "full", "odd"], 1), found))
    assert {label: row.other_weights for label, row in by_label.items()} == {
        "scratch": "none",
        "full": "",
        "odd": "",
    }


def test_weights_from_a_file_are_no_other_weights() -> None:
    from_file = cell("full", 0, weights="net.safetensors")
    table = table_of(Plan(cells=(from_file,)), by_id([record(from_file)]))
    assert rows_of(table)["full"].other_weights == ""
    random = cell("full", 0, weights="none")
    table = table_of(Plan(cells=(random,)), by_id([record(random)]))
    assert rows_of(table)["full"].other_weights == "pretrained"


def test_an_empty_store_and_a_plan_without_records() -> None:
    assert table_of([], {}).sections == ()
    table = table_of(plan(["head-only", "full"]), {})
    row = rows_of(table)["full"]
    assert (row.mean, row.mean_completed, row.rank) == (None, None, 2)
    assert row.verdict.missing == "7 of 7 seeds missing"
    assert row.ends == {"missing": 7}


def test_skipped_rows_stand_last_without_rank() -> None:
    skips = (Skip(cell=cell("joint", 0), reason="needs a source set"),)
    table = table_of(Plan(cells=plan(["full"], 1).cells, skipped=skips), {})
    by_label = rows_of(table)
    assert list(by_label) == ["full", "joint"]
    assert by_label["joint"].rank is None
    assert by_label["joint"].verdict.missing == "needs a source set"


def test_the_family_is_counted_from_the_plans() -> None:
    names = ["head-only", "full", "lp-ft", "scratch"]
    (section,) = table_of(plan(names), results({"head-only": [0.5] * 7})).sections
    assert (section.num_family, section.baseline) == (3, "head-only")


def test_criteria_come_from_the_last_plan() -> None:
    plans = [plan(["a"], 1), plan(["b"], 1, criteria={"margin": 0.02})]
    table = table_of(plans, {})
    assert table.criteria == Criteria(margin=0.02)
    assert table.problems == ("plans disagree on the criteria; the last plan's count",)
    assert "difference >= 0.02" in table.criteria_line
    assert table_of(plans, {}, criteria=Criteria()).problems == ()
    with pytest.raises(RequestError, match="no option 'marginal'"):
        table_of(plan(["a"], 1, criteria={"marginal": 1.0}), {})


def test_records_without_a_plan_are_told() -> None:
    table = table_of(plan(["a"], 1), results({"b": [0.5]}))
    assert table.problems == ("1 records belong to no plan and are left out",)


def test_flat_rows() -> None:
    names = ["head-only", "full", "lp-ft"]
    found = results({"head-only": [0.5] * 7, "full": [0.75] * 7})
    found |= by_id([ended(cell("lp-ft", 0), "crashed", "boom \x1b[31m")])
    flat = rows(table_of(plan(names), found))
    by_label = {one["label"]: one for one in flat}
    assert len({tuple(one) for one in flat}) == 1
    full = by_label["full"]
    assert {
        key: full[key]
        for key in (
            "backbone", "dataset", "metric", "rank", "seeds_completed", "mean", "difference",
            "p", "p_adjusted", "pairs", "family", "verdict", "ends_ok", "baseline", "options",
        )
    } == {
        "backbone": "net", "dataset": "data", "metric": "accuracy", "rank": 1,
        "seeds_completed": 7, "mean": 0.75, "difference": 0.25, "p": 2 / 128,
        "p_adjusted": 4 / 128, "pairs": 7, "family": 2, "verdict": "success", "ends_ok": 7,
        "baseline": "head-only", "options": "{}",
    }  # fmt: skip
    failed = by_label["lp-ft"]
    assert (failed["verdict"], failed["reasons"], failed["ends_crashed"]) == (
        "failure",
        "CRASHED",
        1,
    )
    assert failed["ends_missing"] == 6
    assert failed["evidence"] == "CRASHED: crashed: Error: boom \\x1b[31m"
    assert by_label["head-only"]["difference"] is None
