"""What the plans expect and what the records hold: the facts that verdicts rest on. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sftbench.evaluation.resampling import Resampled
from sftbench.plan import Cell
from sftbench.records import MISSING, MetricSpec, Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Scoring(Protocol):
    """What was kept of test examples, as far as verdicts need it; the caller brings it."""

    def reasons_of(self, task: str, records: Iterable[Record]) -> frozenset[str] | None:
        """Return the names of the reasons that apply to `task`, of which these records are.

        None where nobody says.
        """
        ...

    def resampled_of(self, record: Record) -> Resampled | None:
        """Return the primary metric on resamples of the test examples (selected weights).

        None where it was not kept, and cannot be computed: without predictions, or without the
        task.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Test results by class, each int64 [C], of the classes that the test split holds.

    `train` counts training images, `support` test images, `hits` those found. Classes without
    support are left out: nothing is known of them.
    """

    labels: tuple[str, ...]
    train: Ints
    support: Ints
    hits: Ints

    @property
    def recalls(self) -> Floats:
        """Recall of each class, float64 [C]."""
        return np.asarray(self.hits / self.support)


def class_counts(record: Record) -> ClassCounts | None:
    """Return the counts by class; None where the record has none."""
    classes = [one for one in record.per_class if one.support > 0 and one.recall is not None]
    if not classes:
        return None
    support = np.array([one.support for one in classes], dtype=np.int64)
    recalls = np.array([one.recall for one in classes], dtype=np.float64)
    return ClassCounts(
        labels=tuple(one.label for one in classes),
        train=np.array([one.train_count for one in classes], dtype=np.int64),
        support=support,
        hits=np.rint(recalls * support).astype(np.int64),
    )


@dataclass(frozen=True)
class Group:
    """One row of a table: a strategy with its options, over its seeds.

    Attributes:
        key: `Cell.group`.
        label: The strategy's name; with what tells groups of one strategy apart.
        cells: By seed, those to run.
        skipped: By seed, why the plan does not run it.
        records: By seed, the latest valid record, of whatever end.
    """

    key: tuple[str, ...]
    label: str
    cells: Mapping[int, Cell]
    skipped: Mapping[int, str]
    records: Mapping[int, Record]
    metric: MetricSpec | None

    @property
    def cell(self) -> Cell:
        """One of its cells, for what they share."""
        return next(iter(self.cells.values()))

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.cell.strategy

    @property
    def num_expected(self) -> int:
        """N of "n of N": every seed that a plan names."""
        return len(self.cells)

    @property
    def counted(self) -> dict[int, Record]:
        """Records by seed that say something about the method: those neither skipped nor cut."""
        return {s: one for s, one in self.records.items() if one.status not in MISSING}

    @property
    def completed(self) -> dict[int, Record]:
        """Records by seed that ended well and hold the primary metric."""
        if self.metric is None:
            return {}
        name = self.metric.name
        return {
            seed: one
            for seed, one in self.records.items()
            if one.status == "ok" and one.value(name) is not None
        }

    @property
    def values(self) -> dict[int, float]:
        """The primary metric by completed seed, on the test split, selected weights."""
        name = self.metric.name if self.metric else ""
        found = {seed: record.value(name) for seed, record in self.completed.items()}
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def ends(self) -> dict[str, int]:
        """How many seeds ended in each way; `missing` has no record."""
        ends = Counter(
            "skipped" if seed in self.skipped else self._end(seed) for seed in self.cells
        )
        return dict(sorted(ends.items()))

    @property
    def skip_reason(self) -> str | None:
        """Why every seed was skipped; None where one was not."""
        if self.ends.get("skipped", 0) < self.num_expected:
            return None
        if self.skipped:
            return next(iter(self.skipped.values()))
        error = next(iter(self.records.values())).error
        return error.message if error else "no reason given"

    @property
    def is_compared(self) -> bool:
        """Whether the plans mean to run it; by the plans alone, so it fixes the Holm family."""
        return len(self.skipped) < self.num_expected

    @property
    def lacking(self) -> str:
        """Say which expected seeds have no result: `2 of 7 seeds failed`; empty if none lacks."""
        failed = len(self.counted) - len(self.completed)
        missing = self.num_expected - len(self.counted)
        parts = []
        if failed:
            parts.append(f"{failed} of {self.num_expected} seeds failed")
        if missing:
            parts.append(f"{missing} of {self.num_expected} seeds missing")
        return ", ".join(parts)

    def _end(self, seed: int) -> str:
        record = self.records.get(seed)
        return record.status if record else "missing"


@dataclass(frozen=True)
class Section:
    """What is compared with each other: groups of one backbone, weights, data, and protocol.

    Attributes:
        key: `Cell.section`.
        groups: In the order of the plans.
        baseline_name: The strategy that the plan compares with.
        baseline: Its group, or None.
        reference: The group that NEGATIVE_TRANSFER compares with, or None.
        metric: The primary one, from the records; None before there is a result.
        problems: What a reader must know about how it was put together.
        units: What the protocol's size counts, and what examples are.
        frozen: The group of a head on frozen features, which soft reasons compare with, or None.
    """

    key: tuple[str, ...]
    groups: tuple[Group, ...]
    baseline_name: str
    baseline: Group | None
    reference: Group | None
    metric: MetricSpec | None
    problems: tuple[str, ...]
    units: tuple[str, str] = ("px", "images")
    frozen: Group | None = None

    @property
    def cell(self) -> Cell:
        """One of its cells, for what they share."""
        return self.groups[0].cell

    def family(self, against: Group) -> tuple[Group, ...]:
        """Return every planned group that is compared with `against`: the Holm family."""
        return tuple(one for one in self.groups if one is not against and one.is_compared)
