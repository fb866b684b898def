"""Which classes suffered: recall by class, beside that of other groups on the same seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sftbench.records import ClassResult, Record


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class on the test split, means over seeds.

    Attributes:
        label: Its name, as the data has it.
        train_count: Training examples, mean over seeds.
        support: Test examples, mean over seeds.
        recall: None where no seed has test examples of it.
        score: The task's own measure of the class; None where recall says all.
        against: By the label of another group, score (where there is one, else recall) minus that
            group's, over seeds that both completed; None where one of them lacks.
    """

    label: str
    train_count: float
    support: float
    recall: float | None
    score: float | None
    against: Mapping[str, float | None]

    @property
    def worst_difference(self) -> float | None:
        """The lowest of the differences; None without any."""
        found = [value for value in self.against.values() if value is not None]
        return min(found) if found else None


def class_rows(
    records: Mapping[int, Record], others: Mapping[str, Mapping[int, Record]]
) -> tuple[ClassRow, ...]:
    """Return a row for each class, the one that suffered most first.

    Classes rank by the lowest difference to another group; without others by score or recall.

    Args:
        records: By seed, of the group, those that ended well.
        others: By label, the same of groups to compare with.
    """
    mine = {seed: _by_label(record) for seed, record in records.items() if record.per_class}
    labels = list(dict.fromkeys(label for found in mine.values() for label in found))
    theirs = {
        name: {seed: _by_label(one) for seed, one in found.items() if one.per_class}
        for name, found in others.items()
    }
    rows = [
        ClassRow(
            label=label,
            train_count=_mean([found[label].train_count for found in mine.values()]),
            support=_mean([found[label].support for found in mine.values()]),
            recall=_whole_mean([found[label].recall for found in mine.values()]),
            score=_whole_mean([found[label].score for found in mine.values()]),
            against={name: _difference(mine, found, label) for name, found in theirs.items()},
        )
        for label in labels
        if all(label in found for found in mine.values())
    ]
    return tuple(sorted(rows, key=_rank))


Results = Mapping[int, Mapping[str, ClassResult]]


def _by_label(record: Record) -> dict[str, ClassResult]:
    return {one.label: one for one in record.per_class}


def _difference(mine: Results, theirs: Results, label: str) -> float | None:
    seeds = mine.keys() & theirs.keys()
    own, other = _measure(mine, label, seeds), _measure(theirs, label, seeds)
    return None if own is None or other is None else own - other


def _measure(results: Results, label: str, seeds: Collection[int]) -> float | None:
    """Return the mean score, or else recall, over some seeds; None where one of them has none."""
    found = [one.get(label) for seed, one in results.items() if seed in seeds]
    scores = [None if one is None else one.score for one in found]
    recalls = [None if one is None else one.recall for one in found]
    return _whole_mean(recalls if None in scores else scores)


def _whole_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where a value lacks."""
    known = [value for value in values if value is not None]
    return _mean(known) if known and len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _rank(row: ClassRow) -> tuple[float, float]:
    difference = row.worst_difference
    measure = row.recall if row.score is None else row.score
    return (
        float("inf") if difference is None else difference,
        float("inf") if measure is None else measure,
    )
