"""Each rule: what it says, word for word, and that it keeps silent otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.stories import history
from support.tables import ExactScoring, by_id, cell, classes, ended, plan, record, results

from sftbench.discovery import build_catalog
from sftbench.records import HistoryRow, Memory, Record, Timing
from sftbench.report.aggregate import table_section
from sftbench.story.advice import RULES, advise
from sftbench.story.calibration import Calibrated, Calibration
from sftbench.story.confusion import Confusion
from sftbench.story.curves import curves_of, rise_of
from sftbench.story.facts import Advice, Facts
from sftbench.story.settings import less_memory_or_time, more_learning, smaller_rate, try_again
from sftbench.story.tell import remedies_of
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.reasons import REASONS
from sftbench.verdicts.sections import find_sections

LONGTAIL = [500, 320, 210, 140, 90, 60, 40, 25, 16, 10]


def facts_of(
    label: str, found: dict[str, Record], names: Sequence[str], seeds: int = 7, **changes: Any
) -> Facts:
    """What rules are told of one row of a section."""
    (section,) = find_sections([plan(names, seeds=seeds)], found)
    table = table_section(section, ExactScoring(num_examples=100), Criteria())
    row = next(one for one in table.rows if one.label == label)
    group = next(one for one in section.groups if one.label == label)
    rises = {one.seed: rise for one in curves_of(group.records) if (rise := rise_of(one))}
    values: dict[str, Any] = {
        "section": table,
        "row": row,
        "records": group.records,
        "criteria": Criteria(),
        "rises": rises,
        "calibration": None,
        "confusion": None,
        "remedies": {},
    }
    return Facts(**(values | changes))


def seeds_of(name: str, value: float, num: int = 7, **changes: Any) -> dict[str, Record]:
    return by_id(record(cell(name, seed), value, **changes) for seed in range(num))


def costs(seconds: float) -> Timing:
    return Timing(total_seconds=seconds, examples_per_second=1.0)


def test_where_all_is_well_nothing_is_said() -> None:
    found = results({"head-only": [0.7] * 7, "full": [0.8] * 7})
    assert advise(facts_of("full", found, ["head-only", "full"])) == ()


def test_a_better_strategy_of_the_section() -> None:
    found = seeds_of("head-only", 0.7, timing=costs(1)) | seeds_of("full", 0.8, timing=costs(20))
    assert advise(facts_of("head-only", found, ["head-only", "full"])) == (
        Advice(
            "full is the best of this section",
            "accuracy 0.800 over 7 seeds, 0.700 here, at 20 x the cost",
        ),
    )


@pytest.mark.parametrize(("near", "cost", "is_told"), [(0.77, 1, True), (0.7, 1, False),
                                                       (0.77, 10, False)])  # fmt: skip
def test_a_strategy_that_comes_near_at_a_part_of_the_cost(
    near: float, cost: float, *, is_told: bool
) -> None:
    found = seeds_of("head-only", near, timing=costs(cost))
    found |= seeds_of("full", 0.8, timing=costs(20))
    told = advise(facts_of("full", found, ["head-only", "full"]))
    expected = Advice(
        "head-only costs far less",
        "head-only reached accuracy 0.770 at 1/20 of the cost (1 s a cell); this reached 0.800 in "
        "20 s",
    )
    assert told == ((expected,) if is_told else ())


def test_features_that_were_there_already_are_told_of() -> None:
    found = seeds_of("head-only", 0.79, timing=costs(1)) | seeds_of("full", 0.8, timing=costs(20))
    reused = frozenset({"head-only"})
    (told,) = advise(facts_of("full", found, ["head-only", "full"], reused=reused))
    assert "(1 s a cell; its features were there already)" in told.because


def collapsed() -> dict[str, Record]:
    """`full` never finds one class, `head-only` finds all."""
    mine = classes([95, 90, 90, 90, 90, 90, 90, 90, 65, 0], 100, LONGTAIL)
    base = classes([90, 90, 90, 90, 90, 90, 80, 80, 60, 60], 100, LONGTAIL)
    found = seeds_of("full", 0.79, per_class=mine)
    return found | seeds_of("head-only", 0.79, per_class=base)


def test_remedies_in_the_store_and_untried_ones() -> None:
    remedies = {"MINORITY_COLLAPSE": ["a", "b:K", "full", "c", "d", "e"], "OVERFIT": ["x"]}
    told = advise(facts_of("full", collapsed(), ["head-only", "full"], remedies=remedies))
    assert told == (
        Advice(
            "against MINORITY_COLLAPSE: head-only, here in the store",
            "without that reason: head-only accuracy 0.790, worst class 0.60; this one: full "
            "accuracy 0.790, worst class 0.00, MINORITY_COLLAPSE",
        ),
        Advice(
            "against MINORITY_COLLAPSE, not tried here: a, b:K, c, d and 1 more",
            "7 of 7 seeds: seed 0: worst class 'Scarf' recall 0.00 (upper 95 % bound 0.030 < 0.05)",
            "--strategy a",
        ),
    )


def test_a_remedy_that_fails_otherwise_is_none() -> None:
    found = collapsed()
    lost = seeds_of("lp-ft", 0.79, history=history(("t", 0.0, 1.0, None), ("t", 1.0, 9.0, None)))
    told = advise(facts_of("full", found | lost, ["head-only", "full", "lp-ft"]))
    assert [one.what for one in told] == ["against MINORITY_COLLAPSE: head-only, here in the store"]


def test_parts_of_a_composite_count_as_tried() -> None:
    found = collapsed() | seeds_of("a+b", 0.79)
    remedies = {"MINORITY_COLLAPSE": ["a", "b"]}
    told = advise(facts_of("full", found, ["head-only", "full", "a+b"], remedies=remedies))
    assert [one.change for one in told] == [""]


def test_fewer_epochs_where_validation_loss_rose() -> None:
    rising = history(("t", 0.0, 2.0, None), ("t", 1.0, 1.0, 0.6), ("t", 3.0, 0.2, 0.9))
    found = results({"head-only": [0.7] * 7}) | seeds_of("full", 0.8, history=rising)
    assert advise(facts_of("full", found, ["head-only", "full"])) == (
        Advice(
            "fewer epochs: validation loss rose before the end",
            "in 7 of 7 seeds; least at epoch 1 of 3 on average; in the steepest from 0.6 to 0.9 "
            "(1.50 x)",
            "--epochs 1",
        ),
    )
    falling = history(("t", 1.0, 1.0, 0.6), ("t", 3.0, 0.2, 0.61))
    found |= seeds_of("full", 0.8, history=falling)
    assert advise(facts_of("full", found, ["head-only", "full"])) == ()


def test_smaller_rates_where_it_diverged() -> None:
    rows = (HistoryRow(stage="t", epoch=0.0, step=1, train_loss=2.0, rate=0.02),)
    broken = [
        ended(cell("full", seed), "diverged", "loss is nan").model_copy(update={"history": rows})
        for seed in range(7)
    ]
    found = results({"head-only": [0.7] * 7}) | by_id(broken)
    assert smaller_rate(facts_of("full", found, ["head-only", "full"])) == [
        Advice(
            "smaller rates: a tenth of the highest seen is 0.002",
            "highest rate 0.02; 7 of 7 seeds: seed 0: Error: loss is nan",
            "--tune lr_scale=0.03,0.1,0.3,1",
        ),
    ]


@pytest.mark.parametrize(
    ("last", "what"),
    [
        (2.2, "other rates or more epochs: not even training went on"),
        (0.1, "look at labels and data: training went on, the test split shows none"),
    ],
)
def test_nothing_learned(last: float, what: str) -> None:
    rows = history(("t", 0.0, 2.3, None), ("t", 3.0, last, None))
    found = results({"head-only": [0.1] * 7})
    found |= seeds_of("full", 0.1, history=rows, per_class=classes([10] * 10))
    told = more_learning(facts_of("full", found, ["head-only", "full"]))
    assert [one.what for one in told] == [what]
    assert told[0].because == f"train loss 2.3 at first, {last} at last, mean of 7 seeds"


def test_out_of_memory_and_time() -> None:
    short = [ended(cell("full", s), "out_of_memory", "CUDA out of memory") for s in range(4)]
    short = [one.model_copy(update={"memory": Memory(peak_rss_bytes=9_000_000_000)})
             for one in short]  # fmt: skip
    late = [ended(cell("full", s), "timed_out", "600 seconds") for s in range(4, 7)]
    found = results({"head-only": [0.7] * 7}) | by_id([*short, *late])
    assert less_memory_or_time(facts_of("full", found, ["head-only", "full"])) == [
        Advice(
            "batches of 16 or images of 32 px",
            "4 of 7 seeds ran out of memory with batches of 32, peak 9000 MB",
            "--batch-size 16",
        ),
        Advice("a longer limit, or fewer epochs", "3 of 7 seeds: 600 seconds", "--epochs 1.5"),
    ]


def test_crashed_and_missing_seeds() -> None:
    found = results({"head-only": [0.7] * 7, "full": [0.8] * 4})
    found |= by_id([ended(cell("full", 4), "crashed", "signal 9")])
    assert try_again(facts_of("full", found, ["head-only", "full"])) == [
        Advice(
            "mend the cause, and run these cells again",
            "1 of 7 seeds, the first: Error: signal 9",
            "--retry-failed",
        ),
        Advice("run the plan again: only what is missing runs", "2 of 7 seeds have no result"),
    ]


def test_more_seeds_to_decide_and_to_be_sure() -> None:
    found = results({"head-only": [0.7] * 3, "full": [0.8] * 3})
    assert advise(facts_of("full", found, ["head-only", "full"], seeds=3)) == (
        Advice(
            "more seeds",
            "3 paired seeds; for an adjusted p below 0.05 among 1 planned comparisons it takes 6",
            "--seeds 6",
        ),
    )
    spread = [0.9, 0.5, 0.9, 0.5, 0.9, 0.5, 0.9]
    found = results({"head-only": [0.7] * 7})
    found |= by_id(
        record(cell("full", s), v, per_class=classes([round(100 * v)] * 10))
        for s, v in enumerate(spread)
    )
    told = advise(facts_of("full", found, ["head-only", "full"]))
    assert [(one.what, one.change) for one in told] == [("more seeds", "--seeds 28")]


def test_a_temperature_where_one_helps() -> None:
    found = results({"head-only": [0.7] * 7, "full": [0.8] * 7})
    before, after = Calibrated(0.12, 1.0, ()), Calibrated(0.02, 0.9, ())
    helps = Calibration({0: 1.4, 1: 1.6}, before, after)
    assert advise(facts_of("full", found, ["head-only", "full"], calibration=helps)) == (
        Advice(
            "divide the logits by 1.50: no prediction changes",
            "ECE 0.120 becomes 0.020, mean over 2 seeds, temperatures fitted on validation",
        ),
    )
    for other in (
        Calibration({0: 1.4}, before, before),
        Calibration({0: 1.4}, after, Calibrated(0.01, 0.9, ())),
        Calibration({}, before, None),
    ):
        assert advise(facts_of("full", found, ["head-only", "full"], calibration=other)) == ()


def test_a_pair_of_classes_that_makes_up_most_errors() -> None:
    found = results({"head-only": [0.7] * 7, "full": [0.8] * 7})
    counts = np.array([[9, 4, 0], [2, 9, 1], [1, 1, 9]])
    pair = Confusion(("cat", "\x1bdog", "hat"), counts, 7)
    assert advise(facts_of("full", found, ["head-only", "full"], confusion=pair)) == (
        Advice(
            "look at examples of cat and \\x1bdog, and at their labels",
            "67 % of all errors take one for the other (6 of 9 over 7 seeds)",
        ),
    )
    right = Confusion(("cat", "dog", "hat"), np.diag([9, 9, 9]), 7)
    assert advise(facts_of("full", found, ["head-only", "full"], confusion=right)) == ()


def test_every_rule_is_tried_above_and_every_remedy_is_against_a_reason() -> None:
    assert len(RULES) == 11
    remedies = remedies_of(build_catalog(chosen=""))
    assert remedies.keys() <= set(REASONS)
    assert "balanced-softmax" in remedies["MINORITY_COLLAPSE"]
    assert "lp-ft" in remedies["UNSTABLE"]
