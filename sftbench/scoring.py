"""What verdicts need of tasks and kept predictions, without torch."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from sftbench.catalog import Catalog
from sftbench.contracts.task import Predictions, Task
from sftbench.errors import SftbenchError
from sftbench.records import Record
from sftbench.store import Store


class StoreScoring:
    """The `Scoring` of verdicts, from a store and the installed tasks.

    Args:
        store: Where predictions are kept.
        catalog: Where tasks are looked up.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._tasks: dict[str, Task | None] = {}

    def reasons_of(self, task: str) -> frozenset[str] | None:
        """Return the names of the reasons that apply; None where the task is not installed."""
        found = self._task(task)
        return None if found is None else found.reasons

    def statistics_of(self, record: Record) -> NDArray[np.float64] | None:
        """Return additive statistics of the test examples, by index; None without predictions."""
        task = self._task(record.cell.task)
        if task is None or record.predictions is None:
            return None
        try:
            kept = self._store.predictions(record).get(("test", "selected"))
        except SftbenchError:
            return None  # the scan of the store names the file; the verdict says what it lacks
        if kept is None:
            return None
        order = np.argsort(kept.index, kind="stable")
        ordered = Predictions(kept.index[order], kept.targets[order], kept.outputs[order])
        return task.statistics(ordered)

    def tolerance_of(self, task: str) -> float:
        """Return how far `primary_from_sums` may be from the metric that records hold."""
        found = self._task(task)
        return 0.0 if found is None else found.tolerance

    def primary_from_sums(self, task: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the task's primary metric of summed statistics, [..., K] -> [...]."""
        found = self._task(task)
        if found is None:
            raise KeyError(task)
        return found.primary_from_sums(sums)

    def _task(self, name: str) -> Task | None:
        if name not in self._tasks:
            try:
                self._tasks[name] = cast(Task, self._catalog.create("task", name))
            except SftbenchError:
                self._tasks[name] = None
        return self._tasks[name]
