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
        (
            [Outcome(strategy="base", seed=0, value=81.3)],
            {},
            (
                "'base' seed 0: accuracy is 81.3, and its range is 0 to 1; divide percentages by "
                "100, or say what it is: metric=MetricSpec(..., range=...)"
            ),
        ),
        (
            [Outcome(strategy="base", seed=0, value=-4)],
            {"metric": MetricSpec(name="perplexity", range=(1, None))},
            (
                "'base' seed 0: perplexity is -4, and its range is at least 1; "
                "say what it is: metric=MetricSpec(..., range=...)"
            ),
        ),
        (
            [BASE, Outcome(strategy="a", seed=2, value=float("nan"))],
            {},
            "'a' seed 2: accuracy must be a finite number, not nan; None where there is none",
        ),
        (
            [Outcome(strategy="base", seed=0, value="0.5")],
            {},
            "'base' seed 0: accuracy must be a finite number, not '0.5'; None where there is none",
        ),
        (
            [Outcome(strategy="base", seed=0, value=0.5, metrics={"nll": float("inf")})],
            {},
            "'base' seed 0: nll must be a finite number, not inf; None where there is none",
        ),
        (
            [Outcome(strategy="base", seed=0, value=0.5, metrics={"nll": 1e200})],
            {},
            (
                "'base' seed 0: metrics.selected.test.nll = 1e+200: "
                f"input should be less than or equal to {10**100}"
            ),
        ),
        (
            [Outcome(strategy="base", seed=0, value=0.5, seconds=-3)],
            {},
            "'base' seed 0: seconds are -3; no run takes less than 0",
        ),
        (
            [Outcome(strategy="base", seed=0, seconds=float("inf"))],
            {},
            "'base' seed 0: seconds must be a finite number, not inf; None where there is none",
        ),
        (
            [Outcome(strategy="base", seed=-1, value=0.5)],
            {},
            "'base' seed -1: seed = -1: input should be greater than or equal to 0",
        ),
        (
            [Outcome(strategy="base", seed="0", value=0.5)],
            {},
            "'base' seed 0: a seed is a whole number, not '0'",
        ),
        ([Outcome(strategy=3, seed=0)], {}, "3 cannot name a method: 1 to 100 signs"),
        (
            [BASE],
            {"metric": "f1"},
            "metric must be a MetricSpec, as MetricSpec(name=...), not 'f1'",
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


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    one = Outcome(
        strategy="base",
        seed=np.int64(3),
        value=np.float32(0.5),
        seconds=np.int64(2),
        metrics={"nll": np.float32(1.5)},
    )
    import_results(tmp_path, [one], **ARGUMENTS)
    (record,) = Results(tmp_path).records
    assert (record.cell.seed, record.value("accuracy"), record.value("nll")) == (3, 0.5, 1.5)
    assert record.timing.total_seconds == 2.0


def test_a_metric_with_its_own_range(tmp_path: Path) -> None:
    metric = MetricSpec(name="perplexity", direction="min", range=(1, None))
    import_results(
        tmp_path, [Outcome(strategy="base", seed=0, value=30.0)], metric=metric, **ARGUMENTS
    )
    assert Results(tmp_path).rows()[0]["mean"] == 30.0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("CUDA out of memory", "Error: CUDA out of memory"),
        ("torch.OutOfMemoryError: 9 GB", "torch.OutOfMemoryError: 9 GB"),
        ("it ended here: no idea", "Error: it ended here: no idea"),
        ("ValueError: ", "Error: ValueError: "),
        ("", "Error: no value is given"),
    ],
)
def test_why_a_run_failed(tmp_path: Path, error: str, told: str) -> None:
    import_results(tmp_path, [Outcome(strategy="base", seed=0, error=error)], **ARGUMENTS)
    (record,) = Results(tmp_path).records
    assert record.error is not None
    assert f"{record.error.type}: {record.error.message}" == told


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
