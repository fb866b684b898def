from __future__ import annotations

import math
from typing import Any

import pytest
from support.tables import ACCURACY, cell, classes, ended, losses, record

from sftbench.records import HistoryRow, MetricSpec, Status
from sftbench.verdicts import reasons
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts, class_counts
from sftbench.verdicts.reasons import Finding

CELL = cell("full", 0)
LONGTAIL = [500, 320, 210, 140, 90, 60, 40, 25, 16, 10]


def check(reason: reasons.CellReason, **changes: Any) -> Finding | None:
    one = record(CELL, **changes)
    return reason(one, class_counts(one), Criteria())


def counts(hits: list[int], support: int = 100) -> ClassCounts:
    found = class_counts(record(CELL, per_class=classes(hits, support)))
    assert found is not None
    return found


# ---- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("diverged", "DIVERGED"),
        ("out_of_memory", "RESOURCE"),
        ("timed_out", "RESOURCE"),
        ("crashed", "CRASHED"),
        ("failed", "CRASHED"),
        ("skipped", None),
        ("interrupted", None),
        ("ok", None),
    ],
)
def test_each_end_meets_one_reason_or_none(status: Status, name: str | None) -> None:
    one = ended(CELL, status, "loss is nan\nat step 3 \x1b[31m")
    found = [f for check in reasons.CELL_REASONS.values() if (f := check(one, None, Criteria()))]
    assert [f.reason for f in found] == ([name] if name else [])
    for f in found:
        assert f.hard
        assert "loss is nan at step 3 \\x1b[31m" in f.text


def test_a_loss_that_rose_diverged() -> None:
    found = check(reasons.diverged, history=losses(2.0, 2.5, 3.02))
    assert found == Finding(
        "DIVERGED",
        hard=True,
        text="train loss 3.02 at epoch 2 of stage 'train', more than 1.5 x 2, "
        "the first of training",
    )
    assert check(reasons.diverged, history=losses(2.0, 3.0)) is None
    assert check(reasons.diverged, history=losses(2.0)) is None
    assert check(reasons.diverged) is None


def test_a_stage_that_begins_with_a_trained_network_did_not_diverge() -> None:
    # The first batch of the second stage was a lucky one; before, it was that of knowing nothing.
    head, rest = losses(2.4, 0.3, stage="head"), losses(0.1, 0.2, stage="full")
    assert check(reasons.diverged, history=head + rest) is None
    found = check(reasons.diverged, history=head + losses(0.1, 3.7, stage="full"))
    assert found is not None
    assert found.text.endswith("of stage 'full', more than 1.5 x 2.4, the first of training")


def test_the_loss_of_the_last_stage_may_have_a_unit_of_its_own() -> None:
    head, rest = losses(0.5, 0.1, stage="head"), losses(1.0, 1.2, stage="train")
    assert check(reasons.diverged, history=head + rest) is None
    assert check(reasons.diverged, history=head + losses(1.0, 1.6, stage="train")) is not None


def test_a_lucky_first_batch_of_a_trained_network_is_measured_by_a_uniform_guess() -> None:
    # log 10 = 2.303, and 1.5 times it 3.454
    nll = MetricSpec(name="nll", direction="min", range=(0.0, None), chance=math.log(10))
    known = {"metric_specs": (ACCURACY, nll)}
    assert check(reasons.diverged, history=losses(0.1, 3.45), **known) is None
    found = check(reasons.diverged, history=losses(0.1, 3.46), **known)
    assert found is not None
    assert found.text.endswith("more than 1.5 x 2.3, that of a uniform guess")


def test_what_a_solver_notes_is_no_divergence() -> None:
    assert check(reasons.diverged, history=losses(2.0) + losses(9.0, stage="solve")) is None


def test_rows_without_a_loss_are_passed_over() -> None:
    empty = HistoryRow(stage="train", epoch=3, step=9, train_loss=None, rate=0.1)
    assert check(reasons.diverged, history=(*losses(1.0, 1.6), empty)) is not None


# ---- no learning ---------------------------------------------------------------------------------


def test_a_constant_guess_learned_nothing() -> None:
    found = check(reasons.no_learning, per_class=classes([100] + [0] * 9))
    assert found is not None
    assert found.hard
    # 100 hits of 1000: the one-sided lower bound is beta.ppf(0.05, 100, 901) = 0.0847.
    assert "accuracy 0.100 (lower 95 % bound 0.085 <= majority share 0.100)" in found.text
    assert "balanced accuracy 0.100 (lower bound 0.0" in found.text


def test_a_tie_with_chance_is_no_learning_and_a_clear_lead_is() -> None:
    # lower_bound(116, 1000) = 0.0996 and lower_bound(117, 1000) = 0.1005, by scipy's beta.ppf
    assert check(reasons.no_learning, per_class=classes([12] * 6 + [11] * 4)) is not None
    assert check(reasons.no_learning, per_class=classes([12] * 10)) is None


def test_balanced_accuracy_alone_is_learning() -> None:
    # 900 of 1000 test images are of one class: a good model for the others stays under 0.9.
    per_class = (
        *classes([600], 900),
        *(one.model_copy(update={"label": f"c{i}"}) for i, one in enumerate(classes([9] * 10, 10))),
    )
    assert check(reasons.no_learning, per_class=per_class) is None


def test_accuracy_alone_is_learning() -> None:
    # Two of 30 classes are found, one above its share, the rest never: few hits on each.
    per_class = (*classes([98], 100), *classes([60], 60), *classes([0] * 8, 1))
    assert check(reasons.no_learning, per_class=per_class) is None


def test_no_classes_no_claim() -> None:
    assert check(reasons.no_learning) is None
    assert check(reasons.no_learning, per_class=classes([0], 0 + 1)[:0]) is None


# ---- minority collapse ---------------------------------------------------------------------------


def test_a_class_that_is_never_found_is_a_collapse() -> None:
    found = check(reasons.minority_collapse, per_class=classes([90] * 9 + [0], 100, LONGTAIL))
    assert found is not None
    assert found.hard
    # 1 - 0.05 ** (1 / 100) = 0.0295
    assert found.text == "worst class 'Scarf' recall 0.00 (upper 95 % bound 0.030 < 0.05)"


def test_balanced_training_cannot_collapse() -> None:
    hits = [90] * 9 + [0]
    assert check(reasons.minority_collapse, per_class=classes(hits, 100, [199] + [100] * 9)) is None
    two_to_one = classes(hits, 100, [200] + [100] * 9)
    assert check(reasons.minority_collapse, per_class=two_to_one) is not None


def test_a_bound_above_the_limit_is_no_collapse() -> None:
    # Without a hit the bound is under 0.05 from 59 test images on: 1 - 0.05 ** (1 / 58) = 0.0503.
    train = [300, 200, *[150] * 8]
    sure = classes([50] * 9 + [0], 59, train)
    unsure = classes([50] * 9 + [0], 58, train)
    assert check(reasons.minority_collapse, per_class=sure) is not None
    assert check(reasons.minority_collapse, per_class=unsure) is None


def test_a_tail_far_under_half_of_the_head_is_a_collapse() -> None:
    found = check(
        reasons.minority_collapse, per_class=classes([90] * 3 + [60] * 4 + [30] * 3, 100, LONGTAIL)
    )
    assert found is not None
    assert found.text.startswith(
        "tail recall 0.30 under half of head recall 0.90 (upper 95 % bound"
    )
    half = classes([90] * 3 + [60] * 4 + [44] * 3, 100, LONGTAIL)
    assert check(reasons.minority_collapse, per_class=half) is None


def test_the_groups_go_by_training_count_and_not_by_index() -> None:
    found = check(
        reasons.minority_collapse,
        per_class=classes([30] * 3 + [60] * 4 + [90] * 3, 100, LONGTAIL[::-1]),
    )
    assert found is not None
    assert "tail recall 0.30" in found.text


# ---- over seeds ----------------------------------------------------------------------------------

BAD = Finding("CRASHED", hard=True, text="crashed: Error: x")


@pytest.mark.parametrize(
    ("num_bad", "num_seeds", "holds"), [(4, 7, True), (3, 7, False), (3, 6, False), (1, 1, True)]
)
def test_more_than_half_of_the_seeds(num_bad: int, num_seeds: int, holds: bool) -> None:
    most, some = reasons.hold_over_seeds(
        {seed: (BAD,) if seed >= num_seeds - num_bad else () for seed in range(num_seeds)}
    )
    shared = most if holds else some
    assert (most if not holds else some) == ()
    assert [(f.reason, f.seeds) for f in shared] == [("CRASHED", f"{num_bad} of {num_seeds} seeds")]


def test_the_text_names_the_first_seed() -> None:
    most, _ = reasons.hold_over_seeds({0: (), 1: (BAD,), 2: (BAD,)})
    assert most[0].text == "seed 1: crashed: Error: x"


def test_two_hard_reasons_are_counted_apart() -> None:
    other = Finding("RESOURCE", hard=True, text="out of memory: x")
    most, some = reasons.hold_over_seeds({0: (BAD,), 1: (other,)})
    assert most == ()
    assert {f.reason for f in some} == {"CRASHED", "RESOURCE"}


def test_unstable_by_some_seeds() -> None:
    _, some = reasons.hold_over_seeds({0: (BAD,), 1: (), 2: ()})
    found = reasons.unstable(some, {}, Criteria())
    assert found == Finding(
        "UNSTABLE", hard=False, text="CRASHED in 1 of 3 seeds (seed 0: crashed: Error: x)"
    )


def test_a_soft_reason_in_some_seeds_is_no_instability() -> None:
    soft = Finding("OVERFIT", hard=False, text="x")
    _, some = reasons.hold_over_seeds({0: (soft,), 1: (), 2: ()})
    assert [one.reason for one in some] == ["OVERFIT"]
    assert reasons.unstable(some, {}, Criteria()) is None


def test_unstable_by_spread() -> None:
    # Mean 0.5 over 1000 images: binomial error 0.01581, three of them 0.0474.
    # Two seeds at 0.5 -+ d have SD d * sqrt(2): 0.0339 is above, 0.033 below.
    def two(low: int, high: int) -> Finding | None:
        both = {
            0: counts([low // 10] * (10 - low % 10) + [low // 10 + 1] * (low % 10)),
            1: counts([high // 10] * (10 - high % 10) + [high // 10 + 1] * (high % 10)),
        }
        return reasons.unstable((), both, Criteria())

    found = two(466, 534)
    assert found is not None
    assert not found.hard
    assert found.text == (
        "accuracy from 0.466 to 0.534, SD over seeds 0.048 > 3 x binomial error 0.016"
    )
    assert two(467, 533) is None
    assert reasons.unstable((), {0: counts([50] * 10)}, Criteria()) is None
