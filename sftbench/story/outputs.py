"""Kept predictions of cells whose task gives each example one class, checked before use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sftbench.catalog import Catalog
from sftbench.contracts.task import Predictions
from sftbench.errors import RecordError, SftbenchError
from sftbench.names import one_line, shown
from sftbench.outcomes import StoreOutcomes
from sftbench.records import Record
from sftbench.store import Store


@dataclass(frozen=True, slots=True)
class Outputs:
    """Logits of one cell, selected weights.

    Attributes:
        labels: A name for each column of the outputs.
        test: Of the test split, in the order of the examples' index.
        val: Of the validation split; None where the protocol has none.
    """

    labels: tuple[str, ...]
    test: Predictions
    val: Predictions | None


class Reader(Protocol):
    """Where outputs come from."""

    def missing(self, task: str) -> str:
        """Say why no cell of a task can have `Outputs`; empty where one can."""
        ...

    def read(self, record: Record) -> Outputs:
        """Return the outputs of one cell.

        Raises:
            RecordError: It has none that fit, and why.
        """
        ...


class StoreReader:
    """The `Reader` of a store and the installed tasks.

    Args:
        store: Where predictions are kept.
        catalog: Where tasks are looked up.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._outcomes = StoreOutcomes(store, catalog)

    def missing(self, task: str) -> str:
        """Say why no cell of a task can have `Outputs`; empty where one can."""
        gives_classes, name = self._outcomes.gives_classes(task), shown(task, 60)
        if gives_classes is None:
            return f"the plugin of task {name} is not installed"
        return "" if gives_classes else f"task {name} does not give each example one class"

    def read(self, record: Record) -> Outputs:
        """Return the outputs of one cell.

        Raises:
            RecordError: It has none that fit, and why.
        """
        kept = self._store.predictions(record)
        test = kept.get(("test", "selected"))
        if test is None:
            raise RecordError("no predictions of the test split are kept")
        labels = tuple(one.label for one in record.per_class)
        val = kept.get(("val", "selected"))
        for name, one in (("test", test), ("val", val)):
            if one is not None and (problem := _problem(one, len(labels))):
                raise RecordError(f"predictions of {name}: {problem}")
        return Outputs(labels, test.by_index(), None if val is None else val.by_index())


def read_all(
    reader: Reader, records: Mapping[int, Record]
) -> tuple[dict[int, Outputs], tuple[str, ...]]:
    """Return outputs by seed, and a line for each reason why some have none."""
    if not records:
        return {}, ()
    missing = reader.missing(next(iter(records.values())).cell.task)
    if missing:
        return {}, (missing,)
    found: dict[int, Outputs] = {}
    problems: list[str] = []
    for seed, record in records.items():
        try:
            found[seed] = reader.read(record)
        except SftbenchError as error:
            problems.append(f"seed {seed}: {one_line(str(error))}")
    names = {one.labels for one in found.values()}
    if len(names) > 1:
        return {}, (*problems, "the seeds do not have the same classes")
    return found, tuple(problems)


def _problem(kept: Predictions, num_classes: int) -> str:
    """Say why predictions are not logits of the record's classes; empty where they are."""
    width = kept.outputs.shape[1]
    if width != num_classes:
        return f"{width} outputs for {num_classes} classes of the record"
    if len(kept.targets) and not 0 <= kept.targets.min() <= kept.targets.max() < width:
        return f"a target is none of the {width} classes"
    if not np.isfinite(kept.outputs).all():
        return "an output is not finite"
    if len(np.unique(kept.index)) < len(kept.index):
        return "an example is there twice"
    return "" if len(kept.index) else "no example"
