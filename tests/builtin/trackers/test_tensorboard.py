"""What TensorBoard reads is what the record holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.records import make_cell, make_record
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from sftbench.api import CellFinished, Job, Plan, UnavailableError
from sftbench.builtin.trackers.tensorboard import TensorBoard, run_name
from sftbench.discovery import build_catalog
from sftbench.records import HistoryRow, Record, Timing
from sftbench.testing.execution import TRACKER

HISTORY = tuple(
    HistoryRow(
        stage="train",
        epoch=float(n),
        step=10 * n,
        train_loss=1 / n,
        val_loss=2 / n,
        val_metric=0.1 * n,
        rate=0.01 * n,
        seconds=1.5 * n,
    )
    for n in (1, 2, 3)
)


def followed(folder: Path, *records: Record) -> list[EventAccumulator]:
    tracker = TensorBoard()
    tracker.bind(None)
    tracker.start(Plan(cells=tuple(one.cell for one in records)), Job(out=folder))
    found = []
    for record in records:
        tracker.event(CellFinished(record))
        accumulator = EventAccumulator(str(folder / "tensorboard" / run_name(record)))
        found.append(accumulator.Reload())
    tracker.close()
    return found


def test_curves_and_results_are_those_of_the_record(tmp_path: Path) -> None:
    record = make_record(history=HISTORY, timing=Timing(total_seconds=7.25))
    (read,) = followed(tmp_path, record)
    losses = read.Scalars("loss/train")
    assert [(one.step, one.value) for one in losses] == [
        (10, 1.0),
        (20, 0.5),
        (30, pytest.approx(1 / 3)),
    ]
    assert losses[1].wall_time - losses[0].wall_time == pytest.approx(1.5)
    assert [one.value for one in read.Scalars("loss/val")] == pytest.approx([2, 1, 2 / 3])
    assert [one.value for one in read.Scalars("val/accuracy by step")] == pytest.approx(
        [0.1, 0.2, 0.3]
    )
    assert [one.value for one in read.Scalars("rate")] == pytest.approx([0.01, 0.02, 0.03])
    assert [(one.step, one.value) for one in read.Scalars("test/accuracy")] == [(30, 0.75)]
    assert [(one.step, one.value) for one in read.Scalars("cost/total_seconds")] == [(30, 7.25)]


def test_settings_stand_in_the_tab_of_hyperparameters(tmp_path: Path) -> None:
    cell = make_cell(strategy="lora", seed=3, options={"rank": 8})
    (read,) = followed(tmp_path, make_record(cell))
    metadata = read.summary_metadata["_hparams_/session_start_info"]
    data = HParamsPluginData.FromString(metadata.plugin_data.content)
    found = {
        key: value.string_value or value.number_value
        for key, value in data.session_start_info.hparams.items()
    }
    assert found == {
        "backbone": "tiny",
        "weights": "pretrained",
        "dataset": "digits",
        "variant": "balanced",
        "strategy": "lora",
        "seed": 3.0,
        "protocol": "default",
        "status": "ok",
        "options.rank": "8",
    }


def test_a_failed_cell_says_why(tmp_path: Path) -> None:
    (read,) = followed(tmp_path, make_record(status="failed"))
    (text,) = read.Tensors("error")
    assert text.tensor_proto.string_val[0] == b"    RuntimeError: it broke"


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    hostile = make_cell(dataset="../../x", variant="a/b:c\x1b\n", strategy="..", backbone="")
    followed(tmp_path, make_record(hostile))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].relative_to(tmp_path).parts[:3] == ("tensorboard", "_.._x-a_b_c__", "_-_")


def test_attempts_of_a_cell_stay_apart(tmp_path: Path) -> None:
    first, second = followed(tmp_path, make_record(), make_record(attempt=2))
    assert len(first.Scalars("test/accuracy")) == len(second.Scalars("test/accuracy")) == 1


@pytest.mark.parametrize("rule", TRACKER)
def test_it_keeps_the_rules_of_trackers(rule) -> None:
    assert rule(TensorBoard()) is None


def test_without_the_package_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(UnavailableError) as caught:
        build_catalog(chosen="").create("tracker", "tensorboard")
    assert str(caught.value) == (
        "tracker 'tensorboard' needs tensorboard: pip install 'sftbench[tensorboard]'"
    )
