from __future__ import annotations

import numpy as np
from support.tables import cell, classes, record

from sftbench.records import HistoryRow, Timing
from sftbench.report.html.series import (
    class_recalls,
    learning_curve,
    measured,
    pareto,
    parts_of_time,
)


def row(stage: str, epoch: float, value: float | None, loss: float = 1.0) -> HistoryRow:
    return HistoryRow(stage=stage, epoch=epoch, step=1, train_loss=loss, val_metric=value, rate=0.1)


def test_the_front_holds_what_nothing_beats() -> None:
    #        cheap  dominated  best   same twice  dear and no better
    costs = [1.0, 2.0, 4.0, 1.0, 5.0]
    values = [0.5, 0.4, 0.9, 0.5, 0.9]
    assert pareto(costs, values) == [0, 3, 2]
    assert pareto([], []) == []


def test_curves_run_on_over_stages_and_join_seeds() -> None:
    one = record(
        cell("a", 0),
        history=(row("head", 0, None), row("head", 1, 0.5), row("train", 0, None),
                 row("train", 1, 0.7), row("train", 2, 0.9)),
    )  # fmt: skip
    two = record(cell("a", 1), history=(row("head", 1, 0.3), row("train", 2, 0.5)))
    curve = learning_curve([one, two], "val_metric")
    assert curve is not None
    np.testing.assert_allclose(curve.x, [1, 2, 3])
    # The second seed has 0.3 at 1 and 0.5 at 3, so 0.4 between them.
    np.testing.assert_allclose(curve.mean, [0.4, 0.55, 0.7])
    np.testing.assert_allclose(curve.low, [0.3, 0.4, 0.5])
    np.testing.assert_allclose(curve.high, [0.5, 0.7, 0.9])
    assert curve.num_seeds == 2


def test_a_seed_counts_only_where_it_was_evaluated() -> None:
    long = record(cell("a", 0), history=(row("train", 1, 0.2), row("train", 3, 0.6)))
    short = record(cell("a", 1), history=(row("train", 1, 0.4), row("train", 2, 0.8)))
    curve = learning_curve([long, short], "val_metric")
    assert curve is not None
    np.testing.assert_allclose(curve.mean, [0.3, 0.6, 0.6])


def test_what_says_most_of_learning_is_drawn() -> None:
    plain = record(cell("a", 0), history=(row("train", 1, None),))
    assert measured([plain]) == "train_loss"
    assert measured([plain, record(cell("a", 1), history=(row("train", 1, 0.5),))]) == "val_metric"
    assert measured([record(cell("a", 2))]) == ""
    assert learning_curve([record(cell("a", 2))], "val_metric") is None


def test_recalls_by_class_stand_in_order_of_their_counts() -> None:
    seeds = [
        record(cell("a", seed), per_class=classes(hits, train=[5, 100, 20]))
        for seed, hits in enumerate([[10, 90, 50], [30, 80, 60]])
    ]
    found = class_recalls(seeds)
    assert found is not None
    assert found.labels == ("Boot", "Bag", "Shirt")
    assert found.counts.tolist() == [100, 20, 5]
    np.testing.assert_allclose(found.mean, [0.85, 0.55, 0.2])
    np.testing.assert_allclose(found.low, [0.8, 0.5, 0.1])
    np.testing.assert_allclose(found.high, [0.9, 0.6, 0.3])
    assert class_recalls([record(cell("a", 0))]) is None


def test_the_parts_of_time_add_up() -> None:
    timing = Timing(
        setup_seconds=1, warmup_seconds=2, compile_seconds=3, train_seconds=4, eval_seconds=5,
        data_wait_seconds=6, reliability_seconds=7, total_seconds=33,
    )  # fmt: skip
    assert parts_of_time([record(cell("a", 0), timing=timing)]) == {
        "setup": 1,
        "training": 9,
        "data and frozen features": 6,
        "evaluation": 5,
        "reliability": 7,
        "other": 5,
    }
