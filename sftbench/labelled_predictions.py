"""Kept predictions that are logits of one label an example, without torch."""

from __future__ import annotations

from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.task import Predictions, Task
from sftbench.errors import SftbenchError
from sftbench.records import Record
from sftbench.store import Store


class LabelledPredictions:
    """The predictions of a store whose task gives each example one class.

    Args:
        store: Where predictions are kept.
        catalog: Where tasks are looked up.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._labelled: dict[str, bool] = {}

    def of(self, record: Record) -> Predictions | None:
        """Return the logits of the test split, selected weights; None where there are none.

        So too for a task that is not installed, or whose outputs are something else.
        """
        if record.predictions is None or not self._has_labels(record.cell.task):
            return None
        try:
            return self._store.predictions(record).get(("test", "selected"))
        except SftbenchError:
            return None  # the scan of the store names the file

    def _has_labels(self, task: str) -> bool:
        if task not in self._labelled:
            try:
                found = cast(Task, self._catalog.create("task", task))
                self._labelled[task] = found.labels
            except SftbenchError:
                self._labelled[task] = False
        return self._labelled[task]
