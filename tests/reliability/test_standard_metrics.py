"""The measures that every new record of a one-label task has."""

from __future__ import annotations

import pytest
from support.workspaces import make_warm, run

from sftbench.evaluation.calibration import expected_calibration_error
from sftbench.evaluation.classification import nll
from sftbench.evaluation.selective import aurc, selective_accuracy
from sftbench.evaluation.temperature import fit_temperature, scaled

NAMES = {"temperature", "nll_scaled", "ece_scaled", "aurc", "selective_accuracy"}


def test_they_are_those_of_the_predictions_that_are_kept() -> None:
    record, kept = run(make_warm(), "full")
    validation, tested = kept["val", "selected"], kept["test", "selected"]
    temperature = fit_temperature(validation.outputs, validation.targets)
    cooled = scaled(tested.outputs, temperature)
    assert {name: record.value(name) for name in NAMES} == {
        "temperature": temperature,
        "nll_scaled": nll(cooled, tested.targets),
        "ece_scaled": expected_calibration_error(cooled, tested.targets),
        "aurc": aurc(tested.outputs, tested.targets),
        "selective_accuracy": selective_accuracy(tested.outputs, tested.targets),
    }
    # On validation itself no temperature can be worse than none.
    scaled_nll, plain_nll = record.value("nll_scaled", "val"), record.value("nll", "val")
    assert scaled_nll is not None
    assert plain_nll is not None
    assert scaled_nll <= plain_nll + 1e-12
    assert record.value("temperature", "val") == temperature


def test_without_validation_there_is_no_temperature() -> None:
    changes = {"validation_fraction": 0.0, "selection": "last"}
    record, _ = run(make_warm(), **changes)
    assert {name: record.value(name) for name in sorted(NAMES)} == {
        "aurc": pytest.approx(record.value("aurc")),
        "ece_scaled": None,
        "nll_scaled": None,
        "selective_accuracy": pytest.approx(record.value("selective_accuracy")),
        "temperature": None,
    }
    assert record.value("aurc") is not None
    assert record.timing.reliability_seconds == 0.0
