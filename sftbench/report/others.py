"""Metrics besides the primary one, as further columns: they rank nothing and decide nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sftbench.errors import RequestError
from sftbench.names import nearest, one_line, shown
from sftbench.records import MetricSpec, Record
from sftbench.report.aggregate import Row, Table
from sftbench.verdicts.statistics import seed_interval

_TEST = "test"
_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class OtherMetric:
    """A metric of a split, of the selected weights: `val/nll`."""

    split: str
    name: str

    @property
    def key(self) -> str:
        """Its column in rows for programs."""
        return one_line(f"{self.split}/{self.name}")

    @property
    def short(self) -> str:
        """Its name for people: without the split where that is the test split."""
        return self.name if self.split == _TEST else self.key


@dataclass(frozen=True, slots=True)
class Summary:
    """A metric over the seeds of a group; `mean` None where an expected seed has no value."""

    mean: float | None
    over_completed: float | None
    num_completed: int
    interval: tuple[float, float] | None


def find_metrics(table: Table, asked: Sequence[str]) -> tuple[OtherMetric, ...]:
    """Return the metrics of these names: `nll` of the test split, `val/nll` of another.

    Raises:
        RequestError: No record has one of that name.
    """
    if not asked:
        return ()
    known: dict[str, OtherMetric] = {}
    for record in _records(table):
        for split, values in record.metrics.get("selected", {}).items():
            for name in values:
                metric = OtherMetric(split, name)
                known[metric.key] = metric
                if split == _TEST:
                    known[name] = metric
    for name in asked:
        if name not in known:
            listed = nearest(name, known) or sorted({one.short for one in known.values()})
            hint = ", ".join(one_line(one, 80) for one in listed[:_MOST_LISTED]) or "none"
            raise RequestError(f"no record has the metric {shown(name)}; there are: {hint}")
    return tuple(dict.fromkeys(known[name] for name in asked))


def summarise(row: Row, metric: OtherMetric, level: float) -> Summary:
    """Return a metric over the seeds of a group."""
    completed = row.group.completed if row.group else {}
    found = [one.value(metric.name, metric.split) for one in completed.values()]
    values = [value for value in found if value is not None]
    mean = float(np.mean(values)) if values else None
    if not values or len(values) < row.num_expected:
        return Summary(None, mean, len(values), None)
    return Summary(mean, mean, len(values), seed_interval(values, level))


def spec_of(table: Table, metric: OtherMetric) -> MetricSpec | None:
    """Return what a metric's numbers mean, as the first record that says it has it."""
    for record in _records(table):
        for spec in record.metric_specs:
            if spec.name == metric.name:
                return spec
    return None


def _records(table: Table) -> Iterator[Record]:
    for section in table.sections:
        for row in section.rows:
            yield from row.group.records.values() if row.group else ()
