"""The parts of a story against what was put into the store, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.stories import INDEX, LABELS, LOSSES, answered, history
from support.tables import cell, classes, record

from sftbench.contracts.task import Predictions
from sftbench.evaluation.calibration import expected_calibration_error
from sftbench.records import ClassResult
from sftbench.story.calibration import calibration_of
from sftbench.story.classes import class_rows
from sftbench.story.confusion import confusion_of
from sftbench.story.curves import curve_of, mean_curve, rise_of
from sftbench.story.mistakes import worst_mistakes
from sftbench.story.outputs import Outputs
from sftbench.story.text import sparkline

FULL = [(0, 0, 2, 1, 1, 2, 0), (0, 0, 0, 1, 1, 2, 0), (0, 0, 0, 1, 0, 2, 0)]


def outputs_of(all_answers: list[tuple[int, ...]]) -> dict[int, Outputs]:
    return {
        seed: Outputs(LABELS, answered(answers), answered(answers))
        for seed, answers in enumerate(all_answers)
    }


# ---- curves --------------------------------------------------------------------------------------


def test_epochs_count_on_from_stage_to_stage() -> None:
    curve = curve_of(4, LOSSES)
    assert curve.seed == 4
    assert curve.stages == (("head", 0.0), ("train", 1.5))
    assert curve.series("train_loss") == [(0, 2.0), (1.5, 1.0), (1.5, 1.0), (2.5, 0.5), (3.0, 0.2)]
    assert curve.series("val_loss") == [(1.5, 0.9), (2.5, 0.6), (3.0, 0.9)]


def test_a_stage_that_comes_again_is_another() -> None:
    curve = curve_of(0, history(("a", 0.0, 1.0, None), ("a", 1.0, 1.0, None), ("a", 0.0, 1, None)))
    assert curve.stages == (("a", 0.0), ("a", 1.0))


def test_the_mean_is_point_by_point_and_only_of_like_measured_seeds() -> None:
    first = curve_of(0, history(("t", 0.0, 2.0, None), ("t", 1.0, 1.0, 0.5)))
    second = curve_of(1, history(("t", 0.0, 4.0, None), ("t", 1.0, 2.0, 0.7)))
    mean = mean_curve([first, second])
    assert mean is not None
    assert mean.series("train_loss") == [(0.0, 3.0), (1.0, 1.5)]
    assert mean.series("val_loss") == [(1.0, pytest.approx(0.6))]
    other = curve_of(2, history(("t", 0.0, 4.0, None), ("t", 0.9, 2.0, 0.7)))
    assert mean_curve([first, other]) is None
    assert mean_curve([]) is None


def test_validation_loss_rises_in_the_last_stage_only() -> None:
    rise = rise_of(curve_of(0, LOSSES))
    assert rise is not None
    assert (rise.least, rise.least_epoch, rise.last, rise.last_epoch) == (0.6, 2.5, 0.9, 3.0)
    assert rise.ratio == pytest.approx(1.5)
    assert rise_of(curve_of(0, history(("t", 0.0, 1.0, None), ("t", 1.0, 1.0, 0.5)))) is None


def test_sparklines() -> None:
    assert sparkline([0.0, 1.0, 7.0]) == "▁▂█"
    assert sparkline([3.0, 3.0]) == "▅▅"
    assert sparkline([]) == ""
    assert len(sparkline(list(range(1000)))) == 40


# ---- classes -------------------------------------------------------------------------------------


def test_classes_that_suffered_most_come_first_on_paired_seeds() -> None:
    mine = {s: record(cell("full", s), per_class=classes([90, 40, 70])) for s in (0, 1)}
    base = {
        0: record(cell("head-only", 0), per_class=classes([80, 60, 72])),
        1: record(cell("head-only", 1), per_class=classes([80, 64, 72])),
        2: record(cell("head-only", 2), per_class=classes([0, 0, 0])),  # no partner
    }
    rows = class_rows(mine, {"head-only": base})
    assert [row.label for row in rows] == ["Boot", "Bag", "Shirt"]
    assert rows[0].recall == pytest.approx(0.4)
    assert [row.against["head-only"] for row in rows] == pytest.approx([-0.22, -0.02, 0.1])
    assert [row.label for row in class_rows(mine, {})] == ["Boot", "Bag", "Shirt"]


def test_a_score_counts_before_recall_and_what_lacks_is_none() -> None:
    def of(score: float | None, recall: float | None) -> dict[int, object]:
        one = ClassResult(label="a", train_count=1, support=1, recall=recall, score=score)
        return {0: record(cell("full", 0), per_class=(one,))}

    (row,) = class_rows(of(0.5, 0.9), {"base": of(0.75, 0.1), "frozen": of(None, None)})  # type: ignore[arg-type]
    assert row.against == {"base": -0.25, "frozen": None}
    assert (row.score, row.recall, row.worst_difference) == (0.5, 0.9, -0.25)


# ---- predictions ---------------------------------------------------------------------------------


def test_confusions_are_the_sum_over_seeds() -> None:
    found = confusion_of(outputs_of(FULL))
    assert found is not None
    assert found.counts.tolist() == [[8, 0, 1], [1, 5, 0], [3, 0, 3]]
    assert found.num_errors == 5
    first, *rest = found.pairs(10)
    assert (first.truth, first.predicted, first.count) == ("Bag", "Shirt", 3)
    assert (first.share, first.share_of_errors) == (0.5, 0.6)
    assert [(one.truth, one.predicted) for one in rest] == [("Shirt", "Bag"), ("Boot", "Shirt")]
    assert confusion_of({}) is None


def test_the_worst_errors_are_those_of_most_seeds_then_the_surest() -> None:
    found = outputs_of(FULL)
    sure = answered(FULL[2])
    sure.outputs[4, 0] = 9.0  # example 21, of the Boot, surer than example 8
    found[2] = Outputs(LABELS, sure, None)
    worst = worst_mistakes(found, 2)
    assert [(one.index, one.truth, one.predicted) for one in worst] == [
        (55, "Bag", "Shirt"),
        (21, "Boot", "Shirt"),
    ]
    assert (worst[0].wrong_in, worst[0].num_seeds) == (3, 3)
    assert worst[0].confidence == pytest.approx(math.exp(4) / (math.exp(4) + 2))
    assert set(INDEX) >= {one.index for one in worst}


def test_temperatures_are_those_that_make_confidence_what_accuracy_is() -> None:
    found = calibration_of(outputs_of(FULL))
    assert found is not None
    # Of three classes with outputs (s, 0, 0), exp(s / T) / (exp(s / T) + 2) is the accuracy.
    expected = {0: 4 / math.log(5), 1: 4 / math.log(12), 2: 4 / math.log(5)}
    assert found.temperatures == pytest.approx(expected, rel=1e-6)
    sure = math.exp(4) / (math.exp(4) + 2)
    assert found.before.ece == pytest.approx(sure - (5 / 7 + 6 / 7 + 5 / 7) / 3)
    assert found.after is not None
    assert found.after.ece == pytest.approx(0.0, abs=1e-6)
    assert found.after.nll < found.before.nll
    assert sum(one.count for one in found.after.bins) == 21


def test_without_validation_there_is_no_temperature() -> None:
    one = Outputs(LABELS, answered(FULL[0]), None)
    found = calibration_of({0: one})
    assert found is not None
    assert (found.temperature, found.after) == (None, None)
    assert found.before.ece == expected_calibration_error(one.test.outputs, one.test.targets)


def test_examples_are_found_by_index_not_by_place() -> None:
    order = np.array([6, 2, 0, 1, 3, 4, 5])
    kept = answered(FULL[0])
    turned = Predictions(kept.index[order], kept.targets[order], kept.outputs[order])
    plain = worst_mistakes({0: Outputs(LABELS, kept, None)}, 5)
    assert worst_mistakes({0: Outputs(LABELS, turned, None)}, 5) == plain
    assert {one.index for one in plain} == {8, 55}
