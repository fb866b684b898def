"""What models said of the test examples, from a store and the installed tasks; no torch."""

from __future__ import annotations

from typing import cast

import numpy as np

from sftbench.catalog import Catalog
from sftbench.contracts.task import Predictions, Task
from sftbench.errors import SftbenchError
from sftbench.records import Record
from sftbench.store import Store
from sftbench.verdicts.examples import Outcomes


class StoreOutcomes:
    """The `OutcomeReader` of comparisons.

    Args:
        store: Where predictions are kept.
        catalog: Where tasks are looked up.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def gives_classes(self, task: str) -> bool | None:
        """Tell whether a task gives each example one class; None where it is not installed."""
        try:
            return cast(Task, self._catalog.create("task", task)).labels
        except SftbenchError:
            return None

    def outcomes_of(self, record: Record) -> Outcomes | None:
        """Return what the selected weights said of the test split; None where nothing is kept."""
        kept = self._store.tested(record)
        if kept is None or len(np.unique(kept.index)) < len(kept.index):
            return None
        ordered = kept.by_index()
        # Of equal outputs the lowest class index, as accuracy has it.
        predicted = ordered.outputs.argmax(axis=1).astype(np.int64)
        return Outcomes(ordered.index, ordered.targets, predicted)

    def logits_of(self, record: Record) -> Predictions | None:
        """Return the logits of the test split, selected weights, where examples have one class.

        None where nothing is kept, or the task's outputs mean something else or nobody knows.
        """
        return self._store.tested(record) if self.gives_classes(record.cell.task) else None
