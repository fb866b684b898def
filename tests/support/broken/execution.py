"""Executors and trackers that break a rule."""

from __future__ import annotations

from typing import Any

from support.broken.noted import breaks

from sftbench.api import (
    CellStarted,
    Executor,
    Tracker,
)


@breaks("no cells are no work", "run([]) emitted 1 events")
class StartsNothing(Executor):
    def run(self, cells: Any, job: Any, emit: Any) -> None:
        emit(CellStarted(cells, worker=0))


class Silent(Tracker):
    """Hears and says nothing."""

    def start(self, plan: Any, job: Any) -> None:
        return

    def event(self, event: Any) -> None:
        return


@breaks("a run can be followed", "raised AttributeError: 'CellProgress' object has no attribute")
class KnowsOneEvent(Silent):
    def event(self, event: Any) -> None:
        event.cell.title  # noqa: B018 - what an author forgets: other events have no cell


@breaks("an empty run can be followed", "raised ZeroDivisionError")
class CountsOnEvents(Silent):
    def start(self, plan: Any, job: Any) -> None:
        self.count = 0

    def event(self, event: Any) -> None:
        self.count += 1

    def close(self) -> None:
        self.share = 1 / self.count
