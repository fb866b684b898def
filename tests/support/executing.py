"""Cells of the failing plugin, run by an executor, with what happened."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from sftbench.api import Cell, CellFinished, CellProgress, CellStarted, Event, Executor, Job, Record
from sftbench.discovery import build_catalog
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.store import Store

SOURCE = Path(__file__).with_name("failing_plugin.py")


def install(make_plugin: Callable[..., Path], notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the failing plugin for this test, its notes in `notes`."""
    make_plugin("failing_plugin", SOURCE.read_text())
    notes.touch()
    monkeypatch.setenv("NOTES", str(notes))


def make_cells(
    *strategies: str,
    seeds: Sequence[int] = (0,),
    backbone: str = "tiny-convnet",
    dataset: str = "tiny-images",
    epochs: float = 2,
) -> list[Cell]:
    """Return a cell of six steps for each strategy and seed, in this order."""
    request = Request(
        backbone=(backbone,),
        dataset=(dataset,),
        strategy=strategies,
        seeds=tuple(seeds),
        changes={"epochs": epochs, "batch_size": 16, "validation_fraction": 0.25, "image_size": 12},
        baseline=strategies[0],
    )
    plan = make_plan(request, build_catalog(), "fp32")
    assert not plan.skipped
    return list(plan.cells)


@dataclass
class Ran:
    """What happened: events in order, and the store."""

    store: Store
    events: list[Event] = field(default_factory=list)

    def record(self, strategy: str, seed: int = 0) -> Record:
        """Return the record of a cell as its reader finds it."""
        found = [
            record
            for record in self.store.scan().records.values()
            if (record.cell.strategy, record.cell.seed) == (strategy, seed)
        ]
        assert len(found) == 1
        return found[0]

    def statuses(self) -> dict[tuple[str, int], str]:
        """Return the status of each cell by strategy and seed."""
        return {
            (record.cell.strategy, record.cell.seed): record.status
            for record in self.store.scan().records.values()
        }

    def check(self, cells: Sequence[Cell]) -> None:
        """Check that each cell has one valid attempt and a sane row of events."""
        scan = self.store.scan()
        assert scan.problems == ()
        assert set(scan.records) == {cell.cell_id for cell in cells}
        finished = [event.record for event in self.events if isinstance(event, CellFinished)]
        assert sorted(record.cell_id for record in finished) == sorted(scan.records)
        for record in finished:
            assert record == scan.records[record.cell_id]
            row = [event for event in self.events if cell_id(event) == record.cell_id]
            assert isinstance(row[0], CellStarted)
            assert isinstance(row[-1], CellFinished)
            assert all(isinstance(event, CellProgress) for event in row[1:-1])


def cell_id(event: Event) -> str:
    """Return the cell that an event is about."""
    if isinstance(event, CellStarted):
        return event.cell.cell_id
    return event.cell_id if isinstance(event, CellProgress) else event.record.cell_id


def run(executor: Executor, cells: Sequence[Cell], out: Path, **job: Any) -> Ran:
    """Run cells and return what happened."""
    ran = Ran(Store(out))
    executor.run(cells, Job(out=out, plugins=None, **job), ran.events.append)
    return ran


def noted(word: str) -> list[list[str]]:
    """Return the words of the lines of the plugin's notes that begin with `word`."""
    lines = Path(os.environ["NOTES"]).read_text().splitlines()
    return [line.split()[1:] for line in lines if line.split()[0] == word]


def children() -> set[psutil.Process]:
    """Return the processes below this one, but for the one that frees shared memory."""
    found = psutil.Process().children(recursive=True)
    return {child for child in found if "resource_tracker" not in " ".join(child.cmdline())}


def gone(pid: int, seconds: float = 3.0) -> bool:
    """Wait until a process is gone, or nothing of it but its number."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
