"""What cannot be imported, and that nothing is written then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sftbench.errors import RequestError
from sftbench.importing import Outcome, import_results, labels_as_predictions
from sftbench.records import MetricSpec
from sftbench.results import Results
from sftbench.store import Store

RIGHT = labels_as_predictions([0, 1], [0, 1], [0, 1], 2)
BASE = Outcome(strategy="base", seed=0, value=0.5)
ARGUMENTS = {"source": "a table", "dataset": "data", "baseline": "base"}


@pytest.mark.parametrize(
    ("outcomes", "changes", "message"),
    [
        ([BASE, BASE], {}, "'base' has two outcomes for seed 0"),
        ([BASE], {"baseline": "bse"}, "no outcome of the baseline 'bse'; methods: 'base'"),
        ([BASE], {"source": " "}, "say where the outcomes come from: source='table 2 of ...'"),
        (
            [BASE, Outcome(strategy="a\x1b[31m", seed=0, value=0.1)],
            {},
            "'a\\x1b[31m' cannot name a method: 1 to 100 signs",
        ),
        (
            [Outcome(strategy="base", seed=0, value=0.5, predictions=RIGHT)],
            {},
            "'base' seed 0: accuracy is said to be 0.5, and its predictions give 1",
        ),
        (
            [Outcome(strategy="base", seed=0, predictions=RIGHT)],
            {"metric": MetricSpec(name="f1")},
            "predictions of task image-classification give accuracy, not 'f1'",
        ),
    ],
)
def test_mistakes_have_one_line(
    tmp_path: Path, outcomes: list[Outcome], changes: dict, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        import_results(tmp_path / "out", outcomes, **(ARGUMENTS | changes))
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_classes_are_checked() -> None:
    with pytest.raises(RequestError, match="predicted must be classes 0 to 1"):
        labels_as_predictions([0], [1], [2], 2)
    with pytest.raises(RequestError, match=r"one length, got \[1\], \[2\], \[2\]"):
        labels_as_predictions([0], [0, 1], [0, 1], 2)
    assert np.array_equal(RIGHT.outputs, np.eye(2, dtype=np.float32))


def test_a_rounded_value_gives_way_to_the_predictions(tmp_path: Path) -> None:
    third = labels_as_predictions([0, 1, 2], [0, 0, 0], [0, 1, 1], 2)
    outcomes = [Outcome(strategy="base", seed=0, value=0.33, predictions=third)]
    import_results(tmp_path, outcomes, **ARGUMENTS)
    (record,) = Results(tmp_path).records
    assert record.value("accuracy") == pytest.approx(1 / 3, abs=1e-12)


def test_two_sources_are_not_compared(tmp_path: Path) -> None:
    for source in ("one", "another"):
        import_results(tmp_path, [BASE], **(ARGUMENTS | {"source": source}))
    assert len(Results(tmp_path).table.sections) == 2


def test_importing_again_adds_attempts(tmp_path: Path) -> None:
    for value in (0.5, 0.6):
        import_results(tmp_path, [Outcome(strategy="base", seed=0, value=value)], **ARGUMENTS)
    (record,) = Results(tmp_path).records
    assert (record.attempt, record.value("accuracy")) == (2, 0.6)
    assert len(Store(tmp_path).plans()) == 1
