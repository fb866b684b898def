"""What verdicts need of test examples: kept beside records, or computed by the task. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.task import Predictions, Task
from sftbench.errors import SftbenchError
from sftbench.evaluation.resampling import Resampled, digest_of_examples, resample
from sftbench.records import Record
from sftbench.store import Store


def resampled_predictions(task: Task, predictions: Predictions) -> Resampled:
    """Return a task's primary metric on resampled examples of one split's predictions."""
    ordered = predictions.by_index()
    return Resampled(
        values=resample(task.statistics(ordered), task.primary_from_sums),
        num_examples=len(ordered.index),
        examples=digest_of_examples(ordered.index),
        tolerance=task.tolerance,
        reasons=task.reasons,
    )


class StoreScoring:
    """The `Scoring` of verdicts, from a store and the installed tasks.

    What stands beside a record is taken; only where nothing does, its predictions are read and its
    task is asked. So a task that is not installed is missed by older stores alone.

    Args:
        store: Where predictions are kept.
        catalog: Where tasks are looked up.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._tasks: dict[str, Task | None] = {}

    def reasons_of(self, task: str, records: Iterable[Record]) -> frozenset[str] | None:
        """Return the names of the reasons that apply; None where nobody says.

        Args:
            task: Its name.
            records: Of that task: where it is not installed, what it left beside one of them.
        """
        installed = self._task(task)
        if installed is not None:
            return installed.reasons
        left = (self.resampled_of(record) for record in records if record.predictions is not None)
        return next((found.reasons for found in left if found is not None), None)

    def resampled_of(self, record: Record) -> Resampled | None:
        """Return the primary metric on resampled test examples; None where nobody can say."""
        try:
            found = self._store.resampled(record)
        except SftbenchError:
            found = None  # it can be made again
        return self._computed(record) if found is None else found

    def _computed(self, record: Record) -> Resampled | None:
        task = self._task(record.cell.task)
        if task is None:
            return None
        kept = self._store.tested(record)  # without it the verdict says what it lacks
        return None if kept is None else resampled_predictions(task, kept)

    def _task(self, name: str) -> Task | None:
        if name not in self._tasks:
            try:
                self._tasks[name] = cast(Task, self._catalog.create("task", name))
            except SftbenchError:
                self._tasks[name] = None
        return self._tasks[name]
