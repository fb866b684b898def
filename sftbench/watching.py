"""How far the plan of a store is, looked at again and again by somebody who did not start it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sftbench.errors import RecordError, RequestError
from sftbench.heartbeat import Heartbeat, RunningCell, heartbeats
from sftbench.plan import Plan
from sftbench.records import Record
from sftbench.store import Store


@dataclass(frozen=True, slots=True)
class Look:
    """A store at one moment.

    Attributes:
        plan: That the run is at; without a run the newest.
        records: Of the plan's cells, in the order in which they were first seen.
        new: Those that the look before did not have.
        beat: What the run says; None where none is at work.
    """

    plan: Plan
    records: Mapping[str, Record]
    new: tuple[Record, ...]
    beat: Heartbeat | None

    @property
    def running(self) -> Mapping[str, RunningCell]:
        """Cells of the plan that a worker has now."""
        if self.beat is None:
            return {}
        ids = {cell.cell_id for cell in self.plan.cells}
        return {one.cell_id: one for one in self.beat.running if one.cell_id in ids}

    @property
    def ends(self) -> Counter[str]:
        """How many cells ended in each way."""
        return Counter(record.status for record in self.records.values())

    @property
    def is_done(self) -> bool:
        """Whether nothing is at work and nothing waits: an interrupted cell still does."""
        if self.beat is not None or len(self.records) < len(self.plan.cells):
            return False
        return "interrupted" not in self.ends


class Watcher:
    """Looks at a store; a cell is read again only where its folder has another attempt.

    Args:
        folder: Of the store.

    Raises:
        RequestError: It is something else than a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self._names: dict[str, tuple[str, ...]] = {}
        self._records: dict[str, Record] = {}

    @property
    def has_plan(self) -> bool:
        """Whether there is a plan to look at: a run keeps it once everything is prepared."""
        return bool(self.store.plans())

    def look(self) -> Look:
        """Return the store as it is now.

        Raises:
            RequestError: It has no plan.
        """
        beats = heartbeats(self.store.path)
        plan, beat = self._choose(beats)
        new = tuple(
            record for cell in plan.cells if (record := self._changed(cell.cell_id)) is not None
        )
        new = tuple(sorted(new, key=lambda record: record.finished_at))
        for record in new:
            self._records[record.cell_id] = record
        ids = {cell.cell_id for cell in plan.cells}
        kept = {cell_id: one for cell_id, one in self._records.items() if cell_id in ids}
        return Look(plan, kept, new, beat)

    def _choose(self, beats: list[Heartbeat]) -> tuple[Plan, Heartbeat | None]:
        plans = self.store.plans()
        if not plans:
            raise RequestError(f"no plan in {self.store.path}; sftbench run --out makes one")
        by_id = {plan.plan_id: plan for plan in plans}
        for beat in beats:
            if beat.plan_id in by_id:
                return by_id[beat.plan_id], beat
        return plans[-1], None

    def _changed(self, cell_id: str) -> Record | None:
        """Return a cell's latest record where there is another than at the look before."""
        folder = self.store.path / "cells" / cell_id
        try:
            names = tuple(sorted(path.name for path in folder.iterdir() if path.suffix == ".json"))
        except OSError:
            return None
        if names == self._names.get(cell_id, ()):
            return None
        try:
            record = self.store.latest(cell_id)
        except RecordError:
            return None
        self._names[cell_id] = names
        return record
