"""Where training data is changes no result; who reads it ahead ends with the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.executing import children, install, make_cells

import sftbench
from sftbench.api import Executor, Job, Record, RequestError
from sftbench.builtin.executors.inline import Inline
from sftbench.builtin.executors.local import Local
from sftbench.data.prefetch import READERS
from sftbench.executors.messages import job_from_dict, job_to_dict
from sftbench.store import Store


def test_a_placement_reaches_the_worker(tmp_path: Path) -> None:
    job = Job(out=tmp_path, devices=("cpu",), jobs=1, placement="stream")
    assert job_from_dict(job_to_dict(job, "cpu")) == job
    assert Job(out=tmp_path).placement == "auto"


def test_another_placement_there_is_not() -> None:
    with pytest.raises(RequestError) as caught:
        sftbench.run(placement="disk", device="cpu")
    assert str(caught.value) == "unknown placement 'disk'; known: auto, device, stream"


def outcome(executor: Executor, job: Job) -> list[Record]:
    cells = make_cells("full", "lp-ft", dataset="tiny-images")
    executor.run(cells, job, lambda _event: None)
    records = Store(job.out).scan().records
    return [records[cell.cell_id] for cell in cells]


@pytest.mark.parametrize("executor", [Local(), Inline()])
def test_streamed_and_resident_cells_have_the_same_numbers(
    executor: Executor,
    tmp_path: Path,
    make_plugin: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(make_plugin, tmp_path / "notes", monkeypatch)
    before = children()
    job = Job(out=tmp_path / "device", jobs=1, deterministic=True, placement="device")
    resident = outcome(executor, job)
    monkeypatch.setenv(READERS, "1")
    streamed = outcome(executor, replace(job, out=tmp_path / "stream", placement="stream"))
    assert children() == before
    for one, other in zip(resident, streamed, strict=True):
        assert (one.status, other.status) == ("ok", "ok"), other.error
        assert one.metrics == other.metrics
        losses = [[row.train_loss for row in record.history] for record in (one, other)]
        assert losses[0] == losses[1]
        assert one.cell_id == other.cell_id
        assert one.provenance["placement"] == {"train": "device", "test": "device"}
        assert other.provenance["placement"] == {"train": "stream", "test": "stream"}
