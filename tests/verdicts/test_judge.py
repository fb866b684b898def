from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.tables import (
    ACCURACY,
    ALL_REASONS,
    ExactScoring,
    by_id,
    cell,
    classes,
    ended,
    plan,
    record,
    results,
)

from sftbench.evaluation.resampling import Resampled
from sftbench.plan import Plan, Skip
from sftbench.records import Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Section
from sftbench.verdicts.judge import Judged, judge_section
from sftbench.verdicts.sections import find_sections


def judge(
    plans: Plan | list[Plan],
    records: Mapping[str, Record],
    scoring: ExactScoring | None = None,
    **criteria: Any,
) -> dict[str, Judged]:
    (section,) = find_sections(plans if isinstance(plans, list) else [plans], records)
    judged = judge_section(section, scoring or ExactScoring(), Criteria(**criteria))
    return {one.group.label: one for one in judged}


def pair(a: float, b: float, seeds: int = 7, **options: Any) -> Judged:
    """`full` at a against `head-only` at b, every seed alike."""
    table = results({"full": [a] * seeds, "head-only": [b] * seeds})
    return judge(plan(["head-only", "full"], seeds), table, **options)["full"]


# ---- the four verdicts and their borders ---------------------------------------------------------


def test_success_needs_the_margin_and_no_more() -> None:
    # 0.29 - 0.28 is a little less than 0.01 in floating point: still the margin.
    assert 0.29 - 0.28 < 0.01
    assert pair(0.29, 0.28).verdict.kind == "success"
    below = pair(0.289, 0.28).verdict
    assert (below.kind, below.arrow, below.missing) == (
        "inconclusive",
        "↑",
        "difference below 0.01",
    )


def test_failure_is_the_same_on_the_other_side() -> None:
    verdict = pair(0.28, 0.29).verdict
    assert (verdict.kind, verdict.arrow, verdict.reasons) == ("failure", "", ())
    assert pair(0.281, 0.29).verdict.kind == "inconclusive"
    assert pair(0.281, 0.29).verdict.arrow == "↓"


def test_the_margin_is_a_share_of_the_metrics_range() -> None:
    spec = ACCURACY.model_copy(update={"range": (-1.0, 1.0)})
    table = results({"full": [0.515] * 7, "head-only": [0.5] * 7}, metric_specs=(spec,))
    verdict = judge(plan(["head-only", "full"]), table)["full"].verdict
    assert verdict.missing == "difference below 0.02"


def test_a_metric_where_less_is_better() -> None:
    spec = ACCURACY.model_copy(update={"direction": "min"})
    table = results({"full": [0.3] * 7, "head-only": [0.4] * 7}, metric_specs=(spec,))
    one = judge(plan(["head-only", "full"]), table)["full"]
    assert one.verdict.kind == "success"
    assert one.comparison is not None
    assert one.comparison.estimate == pytest.approx(-0.1)


def test_the_interval_must_leave_zero_out() -> None:
    # 3 of 100 images differ: standard error sqrt(0.03 * 0.97 / 100) = 0.017 > 0.03 / 1.96.
    one = pair(0.63, 0.60, scoring=ExactScoring(num_examples=100))
    assert one.comparison is not None
    assert one.comparison.p == 2 / 128
    assert (one.verdict.kind, one.verdict.missing) == ("inconclusive", "interval holds 0")
    assert pair(0.63, 0.60, scoring=ExactScoring(num_examples=1000)).verdict.kind == "success"


def test_p_must_be_below_alpha() -> None:
    # Differences of 0.04 but for one of -0.01: with it flipped or not, and all signs turned, 4 of
    # 128 patterns lie as far out.
    full = [0.54] * 6 + [0.49]
    table = results({"full": full, "head-only": [0.5] * 7})
    one = judge(plan(["head-only", "full"]), table)["full"]
    assert one.comparison is not None
    assert one.comparison.p == 4 / 128
    assert one.verdict.kind == "success"
    strict = judge(plan(["head-only", "full"]), table, alpha=4 / 128)["full"]
    assert strict.verdict.missing == "p not below 0.03125"


def test_three_comparisons_need_seven_seeds() -> None:
    names = ["head-only", "full", "lp-ft", "scratch"]
    values = {"head-only": 0.5, "full": 0.6, "lp-ft": 0.55, "scratch": 0.4}
    judged = judge(plan(names), results({name: [values[name]] * 7 for name in names}))
    for name in names[1:]:
        comparison = judged[name].comparison
        assert comparison is not None
        assert (comparison.p, comparison.p_adjusted, comparison.num_family) == (
            2 / 128,
            3 * 2 / 128,
            3,
        )
    assert [judged[name].verdict.kind for name in names] == [
        "baseline",
        "success",
        "success",
        "failure",
    ]


def test_six_seeds_are_too_few_and_say_so() -> None:
    names = ["head-only", "full", "lp-ft", "scratch"]
    judged = judge(plan(names, 6), results({name: [0.5 + 0.1 * (name == "full")] * 6
                                            for name in names}))  # fmt: skip
    assert judged["full"].verdict.kind == "inconclusive"
    assert judged["full"].verdict.missing == "needs 7 seeds"
    assert judged["full"].verdict.arrow == "↑"
    assert judged["lp-ft"].verdict.arrow == ""


def test_the_family_comes_from_the_plans_and_not_from_what_has_run() -> None:
    names = ["head-only", "full", "a", "b", "c"]
    table = results({"head-only": [0.5] * 7, "full": [0.6] * 7})
    one = judge(plan(names), table)["full"]
    assert one.comparison is not None
    assert (one.comparison.num_family, one.comparison.p_adjusted) == (4, 4 * 2 / 128)
    assert one.verdict.missing == "needs 8 seeds"


def test_plans_of_one_store_add_up_to_one_family() -> None:
    table = results({"head-only": [0.5] * 7, "full": [0.6] * 7, "lp-ft": [0.6] * 7})
    judged = judge([plan(["head-only", "full"]), plan(["lp-ft", "head-only"])], table)
    assert judged["full"].comparison is not None
    assert judged["full"].comparison.num_family == 2


def test_without_predictions_nothing_is_decided() -> None:
    one = pair(0.9, 0.5, scoring=ExactScoring(without=["head-only"]))
    assert (one.verdict.kind, one.verdict.missing) == ("inconclusive", "predictions")


def test_predictions_that_disagree_with_the_record_do_not_count() -> None:
    # 0.6234 of 100 images is rounded to 0.62 in the predictions.
    one = pair(0.6234, 0.5, scoring=ExactScoring(num_examples=100))
    assert one.verdict.missing == "predictions"


class AbsentScoring(ExactScoring):
    """The task's plugin is not installed."""

    def reasons_of(self, task: str, records: Iterable[Record]) -> frozenset[str] | None:
        return None


def test_a_task_that_is_not_installed_is_named() -> None:
    one = pair(0.9, 0.5, scoring=AbsentScoring(without=["head-only", "full"]))
    assert one.verdict.kind == "inconclusive"
    assert one.verdict.missing == "the plugin of task image-classification"


class NearScoring(ExactScoring):
    """Statistics that give the metric within 0.01."""

    def resampled_of(self, record: Record) -> Resampled | None:
        found = super().resampled_of(record)
        return None if found is None else replace(found, tolerance=0.01)


def test_statistics_that_are_near_by_their_task_count_and_the_interval_is_about_the_record() -> (
    None
):
    exact = pair(0.62, 0.5, scoring=ExactScoring(num_examples=100)).comparison
    near = pair(0.6234, 0.5, scoring=NearScoring(num_examples=100))
    assert near.verdict.missing != "predictions"
    assert exact is not None
    assert near.comparison is not None
    before, interval = exact.interval, near.comparison.interval
    assert before is not None
    assert interval is not None
    assert interval.estimate == pytest.approx(0.1234)
    assert interval.low == pytest.approx(before.low + 0.0034)
    assert interval.high == pytest.approx(before.high + 0.0034)
    # Two values of 0.01 each may differ by 0.02, and by no more.
    assert pair(0.53, 0.5, scoring=NearScoring(num_examples=10)).verdict.missing == "predictions"


# ---- missing and failed seeds --------------------------------------------------------------------


def test_failed_and_missing_seeds_decide_nothing() -> None:
    table = results({"full": [0.9] * 7, "head-only": [0.5] * 7})
    for seed in (1, 2):
        table |= by_id([ended(cell("full", seed), "out_of_memory")])
    for seed in (4, 5, 6):
        del table[cell("full", seed).cell_id]
    one = judge(plan(["head-only", "full"]), table)["full"]
    assert one.verdict.missing == "2 of 7 seeds failed, 3 of 7 seeds missing"
    assert (one.verdict.kind, one.verdict.arrow) == ("inconclusive", "↑")
    assert one.comparison is not None
    assert (one.comparison.p, one.comparison.interval, one.comparison.num_pairs) == (None, None, 2)


def test_interrupted_and_skipped_records_are_missing_and_no_failures() -> None:
    table = results({"full": [0.9] * 7, "head-only": [0.5] * 7})
    for seed in range(5):
        status = "interrupted" if seed % 2 else "skipped"
        table |= by_id([ended(cell("full", seed), status)])
    verdict = judge(plan(["head-only", "full"]), table)["full"].verdict
    assert (verdict.kind, verdict.reasons) == ("inconclusive", ())
    assert verdict.missing == "5 of 7 seeds missing"


def test_a_baseline_that_lacks_seeds_decides_nothing() -> None:
    table = results({"full": [0.9] * 7, "head-only": [0.5] * 4})
    judged = judge(plan(["head-only", "full"]), table)
    assert judged["full"].verdict.missing == "head-only: 3 of 7 seeds missing"
    assert judged["head-only"].verdict.kind == "baseline"
    assert judged["head-only"].verdict.missing == "3 of 7 seeds missing"


def test_groups_with_different_seeds_pair_over_those_in_common() -> None:
    plans = [plan(["head-only"], 9), plan(["full"], 7)]
    table = results({"head-only": [0.5] * 9, "full": [0.6] * 7})
    one = judge(plans, table)["full"]
    assert one.comparison is not None
    assert (one.comparison.num_pairs, one.verdict.kind) == (7, "success")


def test_no_seed_in_common() -> None:
    cells = (cell("head-only", 0), cell("full", 1))
    table = by_id(record(one, 0.5) for one in cells)
    assert judge(Plan(cells=cells), table)["full"].verdict.missing == (
        "no seed in common with head-only"
    )


def test_no_baseline_in_the_store() -> None:
    table = results({"full": [0.9] * 7})
    table |= by_id(ended(cell("lp-ft", seed), "crashed") for seed in range(7))
    judged = judge(plan(["full", "lp-ft"], baseline="probe"), table)
    assert judged["full"].verdict.kind == "inconclusive"
    assert judged["full"].verdict.missing == "no baseline: add --strategy probe"
    assert judged["lp-ft"].verdict.kind == "failure"


def test_skipped_by_the_plan() -> None:
    skips = tuple(Skip(cell=cell("joint", s), reason="needs a source set") for s in range(7))
    cells = plan(["head-only", "full"]).cells
    table = results({"full": [0.6] * 7, "head-only": [0.5] * 7})
    judged = judge(Plan(cells=cells, skipped=skips), table)
    assert judged["joint"].verdict.kind == "skipped"
    assert judged["joint"].verdict.missing == "needs a source set"
    assert judged["full"].comparison is not None
    assert judged["full"].comparison.num_family == 1


def test_a_skipped_baseline_is_named() -> None:
    skips = tuple(Skip(cell=cell("head-only", s), reason="no head") for s in range(7))
    table = results({"full": [0.6] * 7})
    judged = judge(Plan(cells=plan(["full"]).cells, skipped=skips), table)
    assert judged["full"].verdict.missing == "no baseline: head-only was skipped (no head)"


# ---- reasons -------------------------------------------------------------------------------------


def crash(num_bad: int) -> Judged:
    table = results({"full": [0.9] * 7, "head-only": [0.5] * 7})
    table |= by_id(ended(cell("full", seed), "crashed") for seed in range(num_bad))
    return judge(plan(["head-only", "full"]), table)["full"]


def test_a_hard_reason_in_most_seeds_is_a_failure() -> None:
    verdict = crash(4).verdict
    assert verdict.kind == "failure"
    assert [(f.reason, f.seeds) for f in verdict.reasons] == [("CRASHED", "4 of 7 seeds")]
    assert verdict.missing == "4 of 7 seeds failed"


def test_a_hard_reason_in_some_seeds_is_unstable() -> None:
    verdict = crash(3).verdict
    assert verdict.kind == "inconclusive"
    assert [(f.reason, f.hard) for f in verdict.reasons] == [("UNSTABLE", False)]


def test_most_is_over_seeds_that_count() -> None:
    table = results({"head-only": [0.5] * 7})
    table |= by_id(ended(cell("full", seed), "crashed") for seed in range(2))
    table |= by_id(ended(cell("full", seed), "interrupted") for seed in range(2, 7))
    verdict = judge(plan(["head-only", "full"]), table)["full"].verdict
    assert (verdict.kind, verdict.reasons[0].seeds) == ("failure", "2 of 2 seeds")


def test_a_baseline_with_a_hard_reason_fails() -> None:
    collapse = classes([90] * 9 + [0], 100, [500] * 9 + [10])
    table = results({"full": [0.9] * 7})
    table |= by_id(record(cell("head-only", s), 0.5, per_class=collapse) for s in range(7))
    judged = judge(plan(["head-only", "full"]), table)
    assert judged["head-only"].verdict.kind == "failure"
    assert judged["full"].verdict.kind == "success"


def test_a_hard_reason_outweighs_a_better_mean() -> None:
    collapse = classes([90] * 9 + [0], 100, [500] * 9 + [10])
    table = results({"head-only": [0.5] * 7})
    table |= by_id(record(cell("full", s), 0.9, per_class=collapse) for s in range(7))
    verdict = judge(plan(["head-only", "full"]), table)["full"].verdict
    assert (verdict.kind, verdict.reasons[0].reason) == ("failure", "MINORITY_COLLAPSE")


def test_only_the_tasks_reasons_apply() -> None:
    collapse = classes([90] * 9 + [0], 100, [500] * 9 + [10])
    table = results({"head-only": [0.5] * 7})
    table |= by_id(record(cell("full", s), 0.9, per_class=collapse) for s in range(7))
    some = ExactScoring(reasons=ALL_REASONS - {"MINORITY_COLLAPSE"})
    assert judge(plan(["head-only", "full"]), table, some)["full"].verdict.kind == "success"
    table |= by_id(ended(cell("full", s), "crashed") for s in range(7))
    unknown = ExactScoring(reasons=None)
    assert judge(plan(["head-only", "full"]), table, unknown)["full"].verdict.kind == "failure"


# ---- negative transfer ---------------------------------------------------------------------------


def transfer(full: float, scratch: float, weights: str = "pretrained") -> dict[str, Judged]:
    names = ["head-only", "full", "scratch"]
    cells = tuple(cell(name, s, weights=weights) for name in names for s in range(7))
    values = {"head-only": 0.5, "full": full, "scratch": scratch}
    return judge(Plan(cells=cells), by_id(record(one, values[one.strategy]) for one in cells))


def test_worse_than_scratch_is_negative_transfer() -> None:
    judged = transfer(0.6, 0.62)
    assert judged["full"].comparison is not None
    verdict = judged["full"].verdict
    assert verdict.kind == "failure"
    assert [f.reason for f in verdict.reasons] == ["NEGATIVE_TRANSFER"]
    assert verdict.reasons[0].text.startswith("accuracy -0.020 [-0.02")
    assert verdict.reasons[0].text.endswith("against scratch, adjusted p 0.0312 over 2")
    # The baseline is worse than scratch too; scratch itself is never measured against itself.
    assert judged["head-only"].verdict.kind == "failure"
    assert judged["scratch"].verdict.kind == "success"
    assert judged["scratch"].transfer is None


def test_a_shortfall_under_the_margin_is_none() -> None:
    judged = transfer(0.6, 0.609)
    assert judged["full"].verdict.kind == "success"
    assert judged["full"].transfer is not None
    assert judged["full"].transfer.gain == pytest.approx(-0.009)


def test_random_weights_cannot_transfer() -> None:
    judged = transfer(0.6, 0.7, weights="none")
    assert judged["full"].transfer is None
    assert judged["full"].verdict.kind == "success"


# ---- sections and labels -------------------------------------------------------------------------


def test_options_and_versions_tell_groups_of_one_strategy_apart() -> None:
    cells = (
        cell("lp-ft", 0, options={"head_share": 0.3, "views": 1}),
        cell("lp-ft", 0, options={"head_share": 0.5, "views": 1}),
        cell("full", 0, options={"head_share": 0.5}),
        cell("sam", 0),
        cell("sam", 0, versions={"strategy": 2}),
    )
    (section,) = find_sections([Plan(cells=cells)], {})
    assert [group.label for group in section.groups] == [
        "lp-ft (head_share=0.3)",
        "lp-ft (head_share=0.5)",
        "full",
        "sam (version 1)",
        "sam (version 2)",
    ]


def test_sections_split_by_data_and_protocol() -> None:
    cells = (cell("full", 0), cell("full", 0, variant="longtail:50"), cell("full", 1))
    sections = find_sections([Plan(cells=cells)], {})
    assert [(s.cell.variant, s.groups[0].num_expected) for s in sections] == [
        ("balanced", 2),
        ("longtail:50", 1),
    ]


def test_examples_that_were_left_out_are_told() -> None:
    cells = (cell("full", 0), cell("full", 1), cell("head-only", 0))
    plan_of_them = Plan(cells=cells)

    def told(*counts: Any) -> tuple[str, ...]:
        records = {
            one.cell_id: record(one, 1.0, provenance={"data": {"unreadable": count}})
            for one, count in zip(cells, counts, strict=True)
        }
        (section,) = find_sections([plan_of_them], records)
        return section.problems

    assert told({"train": 0, "test": 0}, None, {}) == ()
    assert told({"train": 2, "test": 0}, {"train": 2, "test": 0}, {"train": 2, "test": 1}) == (
        "examples left out because they cannot be read: 2 train",
        "examples left out because they cannot be read: 2 train, 1 test",
    )
    # A record may have been made by somebody else.
    assert told("x", {"train": "y", "test": -1}, ["z"]) == ()


def test_notes_of_how_examples_were_brought_into_form_and_units_are_told() -> None:
    cells = (cell("full", 0), cell("full", 1))

    def section_of(*data: Any) -> Section:
        records = {
            one.cell_id: record(one, 1.0, provenance={"data": value})
            for one, value in zip(cells, data, strict=True)
        }
        (section,) = find_sections([Plan(cells=cells)], records)
        return section

    notes = {"train": {"texts": 90, "cut": 4}, "test": {}}
    found = section_of({"notes": notes, "units": ["tokens", "texts"]}, {"notes": notes})
    assert found.problems[0] == "train data: 90 texts, 4 cut"
    assert found.units == ("tokens", "texts")
    # A record may have been made by somebody else.
    strange = section_of({"notes": {"train": {"a": "b"}}, "units": ["x"]}, {"notes": 3})
    assert strange.problems == ()
    assert strange.units == ("px", "images")


def test_the_last_plans_baseline_counts_and_the_change_is_told() -> None:
    plans = [plan(["head-only", "full"]), plan(["head-only", "full"], baseline="full")]
    (section,) = find_sections(plans, {})
    assert section.baseline is not None
    assert section.baseline.strategy == "full"
    assert section.problems == ("plans name several baselines; full counts, the last",)
    (forced,) = find_sections(plans, {}, baseline="head-only")
    assert forced.baseline is not None
    assert (forced.baseline.strategy, forced.problems) == ("head-only", ())


def test_of_two_cells_for_one_seed_the_later_counts() -> None:
    old, new = cell("full", 0), cell("full", 0, versions={"strategy": 1, "dataset": 2})
    (section,) = find_sections([Plan(cells=(old,)), Plan(cells=(new,))], {})
    assert section.groups[0].cells == {0: new}
    assert section.problems == ("full: several cells a seed; the last plan's count",)


def test_a_cell_that_one_plan_skips_and_another_runs_is_expected() -> None:
    one = cell("full", 0)
    plans = [Plan(cells=(one,)), Plan(cells=(), skipped=(Skip(cell=one, reason="no"),))]
    for order in (plans, plans[::-1]):
        (section,) = find_sections(order, {})
        assert section.groups[0].skipped == {}


def test_the_interval_is_adjusted_over_the_family_too() -> None:
    # Six images of a thousand more are right with every seed: clear here, and less so beyond.
    seeds = 9
    one = {"head-only": [0.5] * seeds, "full": [0.506] * seeds}
    decided = judge(plan(list(one), seeds), results(one), margin=0.001)["full"]
    alone = decided.comparison
    assert decided.verdict.kind == "success"
    assert alone is not None
    assert alone.interval is not None
    assert alone.p_population == pytest.approx(alone.interval.p)
    family = one | {f"strategy-{n}": [0.506] * seeds for n in range(6)}
    many = judge(plan(list(family), seeds), results(family), margin=0.001)["full"]
    assert many.comparison is not None
    assert many.comparison.interval == alone.interval
    assert many.comparison.p_population == pytest.approx(7 * alone.interval.p)
    assert many.verdict.missing == "interval holds 0 over 7 comparisons"
