from __future__ import annotations

import numpy as np
import pytest
from support.records import make_predictions

from sftbench.contracts.task import Predictions
from sftbench.evaluation.calibration import expected_calibration_error
from sftbench.report.html.outputs import confusion_shares, reliability


def test_the_gaps_of_the_diagram_are_the_calibration_error() -> None:
    kept = make_predictions(rows=500, classes=5)
    found = reliability([kept])
    full = found.count > 0
    gaps = np.abs(found.accuracy - found.confidence)[full] * found.count[full] / 500
    assert gaps.sum() == pytest.approx(expected_calibration_error(kept.outputs, kept.targets))
    assert np.isnan(found.accuracy[~full]).all()


def test_seeds_are_pooled_and_their_range_is_kept() -> None:
    one, two = (make_predictions(rows=400, classes=3, seed=seed) for seed in (1, 2))
    both, alone = reliability([one, two]), [reliability([one]), reliability([two])]
    np.testing.assert_array_equal(both.count, alone[0].count + alone[1].count)
    accuracies = np.stack([each.accuracy for each in alone])
    np.testing.assert_array_equal(both.low, np.fmin.reduce(accuracies))
    np.testing.assert_array_equal(both.high, np.fmax.reduce(accuracies))


def test_confusion_is_by_target_over_all_seeds() -> None:
    def kept(targets: list[int], guesses: list[int]) -> Predictions:
        outputs = np.eye(3, dtype=np.float32)[guesses]
        index = np.arange(len(targets), dtype=np.int64)
        return Predictions(index, np.array(targets, dtype=np.int64), outputs)

    found = confusion_shares([kept([0, 0, 1], [0, 1, 1]), kept([0, 0, 1], [0, 0, 0])])
    np.testing.assert_allclose(found[:2], [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]])
    assert np.isnan(found[2]).all()
