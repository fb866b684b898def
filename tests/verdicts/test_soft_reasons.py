from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support.tables import (
    ACCURACY,
    ALL_REASONS,
    ExactScoring,
    by_id,
    cell,
    classes,
    plan,
    record,
    results,
)

from sftbench.evaluation.calibration import expected_calibration_error
from sftbench.plan import Plan
from sftbench.records import HistoryRow, MetricSpec, Record
from sftbench.verdicts import reasons
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.judge import Judged, judge_section
from sftbench.verdicts.reasons import Anchor, Finding
from sftbench.verdicts.reasons.soft import chance_error
from sftbench.verdicts.sections import find_sections

FULL = cell("full", 0)
NOBODY = Anchor()


def measured(of: Any = FULL, **splits: dict[str, float | None]) -> Record:
    """A record that ended well with these metrics by split."""
    selected = {name.replace("__", ":"): values for name, values in splits.items()}
    selected["test"] = {"accuracy": 0.8, **selected.get("test", {})}
    return record(of, metrics={"selected": selected})


def rising(*values: float | None) -> tuple[HistoryRow, ...]:
    """History rows with these validation losses."""
    return tuple(
        HistoryRow(
            stage="train", epoch=float(n), step=n + 1, train_loss=0.1, val_loss=value, rate=0.1
        )
        for n, value in enumerate(values)
    )


def test_the_names_are_those_that_tasks_may_have() -> None:
    assert set(reasons.REASONS) == ALL_REASONS


# ---- overfit -------------------------------------------------------------------------------------


def fits(
    train: float | None, test: float, *validation: float | None, spec: MetricSpec = ACCURACY
) -> Finding | None:
    one = record(
        FULL,
        metric_specs=(spec,),
        metrics={"selected": {"train": {spec.name: train}, "test": {spec.name: test}}},
        history=rising(*validation),
    )
    return reasons.overfit(one, NOBODY, Criteria())


def test_a_gap_and_a_rising_validation_loss_are_overfitting() -> None:
    assert fits(1.0, 0.6, None, 1.5, 1.0, 1.2) == Finding(
        "OVERFIT",
        hard=False,
        text="accuracy 1.000 on training examples, 0.600 on test (gap more than 0.1); validation "
        "loss 1.2 at the end, 1 at epoch 2 of stage 'train' (more than 1.1 x)",
    )


def test_one_of_the_two_is_none() -> None:
    assert fits(1.0, 0.6, 1.0, 1.1) is None
    assert fits(0.9, 0.8, 1.0, 9.0) is None  # 0.9 - 0.8 is the gap that is still allowed
    assert fits(0.901, 0.8, 1.0, 9.0) is not None
    assert fits(0.6, 1.0, 1.0, 9.0) is None


def test_without_the_measures_nothing_is_said_of_overfitting() -> None:
    assert fits(None, 0.6, 1.0, 2.0) is None
    assert fits(1.0, 0.6, None, None) is None
    assert reasons.overfit(record(FULL, history=rising(1.0, 2.0)), NOBODY, Criteria()) is None


def test_the_gap_is_a_share_of_the_range_and_knows_the_better_side() -> None:
    percent = MetricSpec(name="score", primary=True, range=(0.0, 100.0))
    assert fits(70.0, 60.0, 1.0, 2.0, spec=percent) is None
    assert fits(71.0, 60.0, 1.0, 2.0, spec=percent) is not None
    error = MetricSpec(name="error", primary=True, direction="min")
    assert fits(0.1, 0.3, 1.0, 2.0, spec=error) is not None
    assert fits(0.3, 0.1, 1.0, 2.0, spec=error) is None


# ---- calibration, forgetting, corruption of one cell ---------------------------------------------


def test_a_wrong_confidence_is_miscalibrated() -> None:
    found = reasons.miscalibrated(
        measured(test={"ece_scaled": 0.0612, "temperature": 1.834}), NOBODY, Criteria()
    )
    assert found == Finding(
        "MISCALIBRATED",
        hard=False,
        text="ECE 0.061 after temperature scaling (T = 1.83) > 0.05",
    )


def test_the_evidence_says_what_chance_alone_gives() -> None:
    one = measured(test={"ece_scaled": 0.06}).model_copy(
        update={"per_class": classes([80] * 10, 100)}
    )
    found = reasons.miscalibrated(one, NOBODY, Criteria())
    assert found is not None
    # sqrt(2 / pi x 15 x 0.8 x 0.2 / 1000) = 0.0391
    assert found.text.endswith(
        "> 0.05 (by chance a calibrated model's is up to 0.039 on 1000 examples)"
    )


@pytest.mark.parametrize(("num", "sharpness"), [(200, 1.0), (1000, 2.0), (2000, 4.0)])
def test_the_bound_of_chance_holds_and_is_not_far_off(num: int, sharpness: float) -> None:
    generator = np.random.default_rng(0)
    errors, hits = [], 0
    for _ in range(40):
        logits = sharpness * generator.normal(size=(num, 10))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        below = shares.cumsum(axis=1) < generator.random((num, 1))
        targets = np.minimum(below.sum(axis=1), 9).astype(np.int64)
        errors.append(expected_calibration_error(logits, targets))
        hits += int((logits.argmax(axis=1) == targets).sum())
    mean, bound = float(np.mean(errors)), chance_error(hits / (40 * num), num)
    assert mean < bound < 2 * mean


def test_a_confidence_twice_as_wrong_as_the_frozen_features_is_miscalibrated() -> None:
    def against(base: float | None, error: float) -> Finding | None:
        anchor = Anchor("head-only", calibration_error=base)
        return reasons.miscalibrated(
            measured(test={"ece_scaled": error, "temperature": None}), anchor, Criteria()
        )

    found = against(0.01, 0.021)
    assert found is not None
    assert found.text == "ECE 0.021 after temperature scaling > 2 x 0.010 of head-only"
    assert against(0.01, 0.02) is None
    assert against(0.0, 0.0099) is None  # twice nothing is nothing: the margin counts, too
    assert against(0.0, 0.01) is not None
    assert against(None, 0.05) is None
    both = against(0.02, 0.06)
    assert both is not None
    assert both.text.endswith("> 0.05 and > 2 x 0.020 of head-only")


def test_a_source_task_that_is_lost_is_forgotten() -> None:
    def after(accuracy: float) -> Finding | None:
        one = measured(source={"accuracy_before": 0.9, "accuracy_after": accuracy})
        return reasons.forgetting(one, NOBODY, Criteria())

    found = after(0.35)
    assert found is not None
    assert found.text == "source accuracy 0.900 before, 0.350 after: 0.550 lower (at least 0.1)"
    assert 0.9 - 0.8 < 0.1  # by rounding
    assert after(0.8) is not None
    assert after(0.801) is None
    assert after(0.95) is None


def test_what_corruption_costs_more_than_the_frozen_features_is_fragile() -> None:
    anchor = Anchor("head-only", robustness=0.75)

    def keeps(ratio: float, base: Anchor = anchor) -> Finding | None:
        return reasons.fragile(measured(corrupted={"ratio": ratio}), base, Criteria())

    found = keeps(0.62)
    assert found is not None
    assert found.text == (
        "corrupted images keep 0.620 of its clean accuracy, 0.750 of that of head-only: 0.130 "
        "lower (at least 0.05)"
    )
    assert keeps(0.7) is not None
    assert keeps(0.701) is None
    assert keeps(0.1, NOBODY) is None


@pytest.mark.parametrize("reason", reasons.SOFT_REASONS)
def test_what_was_not_measured_is_not_judged(reason: str) -> None:
    anchor = Anchor("head-only", calibration_error=0.01, robustness=0.9)
    check = reasons.SOFT_REASONS[reason]
    assert check(measured(), anchor, Criteria()) is None
    nothing = {
        "ece_scaled": None,
        "ratio": None,
        "accuracy_before": None,
        "accuracy_after": None,
        "accuracy": None,
    }
    blank = measured(test=nothing, corrupted=nothing, source=nothing, train=nothing)
    assert check(blank, anchor, Criteria()) is None


# ---- over seeds, and against the head on frozen features -----------------------------------------


def judge(plans: Plan, records: Mapping[str, Record]) -> dict[str, Judged]:
    (section,) = find_sections([plans], records)
    judged = judge_section(section, ExactScoring(), Criteria())
    return {one.group.label: one for one in judged}


def names(judged: Judged) -> list[str]:
    return [one.reason for one in judged.verdict.reasons]


def with_errors(table: Mapping[str, Sequence[float]]) -> dict[str, Record]:
    """Records of strategies with one calibration error a seed."""
    return by_id(
        measured(cell(name, seed), test={"ece_scaled": error})
        for name, errors in table.items()
        for seed, error in enumerate(errors)
    )


def test_the_mean_over_seeds_of_the_frozen_features_is_the_measure() -> None:
    table = {"head-only": [0.005, 0.01, 0.015], "full": [0.021, 0.021, 0.0], "sam": [0.02] * 3}
    judged = judge(plan(table, 3), with_errors(table))
    assert {name: names(one) for name, one in judged.items()} == {
        "head-only": [],
        "full": ["MISCALIBRATED"],
        "sam": [],
    }
    found = judged["full"].verdict.reasons[0]
    assert found.seeds == "2 of 3 seeds"
    assert found.text == "seed 0: ECE 0.021 after temperature scaling > 2 x 0.010 of head-only"
    assert judged["full"].verdict.kind == "inconclusive"


def test_the_frozen_features_serve_where_the_baseline_is_another() -> None:
    table = {"head-only": [0.01] * 3, "full": [0.03] * 3}
    judged = judge(plan(table, 3, baseline="full"), with_errors(table))
    assert judged["full"].verdict.kind == "baseline"
    assert names(judged["full"]) == ["MISCALIBRATED"]


def test_nothing_is_measured_by_itself() -> None:
    table = {"head-only": [0.001, 0.001, 0.03]}
    (section,) = find_sections([plan(table, 3)], with_errors(table))
    assert section.frozen is section.baseline
    # Seed 2 is above twice its own group's mean of 0.0107.
    loose = {"head-only": [0.001, 0.03, 0.03, 0.03, 0.001]}
    assert names(judge(plan(loose, 5), with_errors(loose))["head-only"]) == []


def test_several_groups_of_frozen_features_are_told_once() -> None:
    cells = [cell("head-only", 0, options={"bias": flag}) for flag in (True, False)]
    (section,) = find_sections([Plan(cells=tuple(cells))], {})
    assert section.frozen is section.baseline is section.groups[0]
    assert section.problems == ("several groups of head-only; compared with head-only (bias=true)",)


def test_a_soft_reason_leaves_a_success() -> None:
    table = results({"head-only": [0.5] * 7})
    table |= by_id(
        record(
            cell("full", seed),
            metrics={
                "selected": {
                    "test": {"accuracy": 0.7},
                    "source": {"accuracy_before": 0.9, "accuracy_after": 0.1},
                }
            },
        )
        for seed in range(7)
    )
    verdict = judge(plan(["head-only", "full"]), table)["full"].verdict
    assert verdict.kind == "success"
    assert [(one.reason, one.seeds) for one in verdict.reasons] == [("FORGETTING", "7 of 7 seeds")]


def foreign(strategy: str, accuracy: float, *sets: float | None, seeds: int = 7) -> list[Record]:
    """Records with AUROC on data sets `a`, `b`, ..., a little other for each seed."""
    return [
        measured(
            cell(strategy, seed),
            test={"accuracy": accuracy},
            **{
                f"ood__{name}": {
                    "auroc_max_softmax": None if value is None else value - 0.001 * seed
                }
                for name, value in zip("abc", sets, strict=False)
            },
        )
        for seed in range(seeds)
    ]


def distorted(full: list[Record], *others: list[Record], seeds: int = 7) -> list[Finding]:
    records = [*full, *foreign("head-only", 0.5, 0.9, 0.9, seeds=seeds)]
    records += [one for each in others for one in each]
    strategies = dict.fromkeys(one.cell.strategy for one in records)
    judged = judge(plan(strategies, seeds), by_id(records))["full"]
    return [one for one in judged.verdict.reasons if one.reason == "OOD_DISTORTION"]


def test_accuracy_bought_with_the_sense_for_foreign_images_is_a_distortion() -> None:
    assert distorted(foreign("full", 0.52, 0.8, 0.91)) == [
        Finding(
            "OOD_DISTORTION",
            hard=False,
            # Two sets, one group: twice 2 / 2^7.
            text="accuracy 0.020 better than head-only, but AUROC -0.100 on a, adjusted p 0.0312 "
            "over 2",
            seeds="7 seeds",
        )
    ]


def test_the_family_is_every_foreign_set_of_every_group() -> None:
    # Four comparisons: 4 x 2 / 2^7 = 0.0625, which only the smallest p of others could change.
    same = foreign("sam", 0.5, 0.9, 0.9)
    assert distorted(foreign("full", 0.52, 0.8, 0.91), same) == []
    (found,) = distorted(
        foreign("full", 0.52, 0.8, 0.91, seeds=8), foreign("sam", 0.5, 0.9, 0.9, seeds=8), seeds=8
    )
    assert found.text.endswith("adjusted p 0.0312 over 4")


@pytest.mark.parametrize(
    "full",
    [
        foreign("full", 0.5, 0.8, 0.8),  # not better on the task
        foreign("full", 0.52, 0.9, 0.9),  # not worse out of it
        foreign("full", 0.52, 0.95, 0.95),
        foreign("full", 0.52, 0.8, 0.8)[:6],  # a seed lacks
        foreign("full", 0.52, None, None),
        foreign("full", 0.52),
    ],
)
def test_no_distortion(full: list[Record]) -> None:
    assert distorted(full) == []


def test_frozen_features_that_are_not_there_distort_nothing() -> None:
    judged = judge(plan(["full"]), by_id(foreign("full", 0.9, 0.1)))
    assert names(judged["full"]) == []
