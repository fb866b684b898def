"""What a record says of its predictions, computed again from them. Numpy alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, cast

import numpy as np

from sftbench.catalog import Catalog
from sftbench.contracts.dataset import DatasetInfo
from sftbench.contracts.task import Metric, MetricInput, Predictions, Task
from sftbench.data.splits import index_hash
from sftbench.errors import SftbenchError
from sftbench.evaluation import ood
from sftbench.evaluation.resampling import Resampled
from sftbench.leaderboard.findings import Finding, error, warning
from sftbench.measures import OOD
from sftbench.names import cause, shown
from sftbench.records import ClassResult, MetricSpec, Record
from sftbench.scoring import resampled_predictions

Outputs = Mapping[tuple[str, str], Predictions]

# The same numbers on another processor, but for the order of a sum.
_NEAR: Final = 1e-6
# What numpy raises on numbers that no run of a task makes.
_UNFIT = (ArithmeticError, LookupError, TypeError, ValueError)


class Recomputing:
    """Tasks and metrics that are installed, each made once.

    Args:
        catalog: Where they are looked up.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._tasks: dict[str, Task | str] = {}
        self._metrics: dict[str, Metric | None] = {}

    def check(self, where: str, record: Record, outputs: Outputs) -> Iterator[Finding]:
        """Yield what a record says otherwise than its predictions.

        Args:
            where: The record's file.
            record: Of whatever end.
            outputs: Its predictions by (split, which).
        """
        if record.status != "ok":
            return
        task = self._task(record.cell.task)
        if isinstance(task, str):
            yield error(where, f"nothing can be computed again: {task}")
            return
        if ("test", "selected") not in outputs:
            yield error(where, "has no predictions of the test split with the selected weights")
            return
        info, counts = _info(record, outputs["test", "selected"])
        try:
            yield from self._specs(where, record, task, info)
            yield from _classes(where, record, task, (info, counts), outputs["test", "selected"])
            for (split, which), kept in sorted(outputs.items()):
                data = MetricInput(
                    predictions=kept,
                    num_classes=info.num_classes,
                    train_counts=counts,
                    validation=outputs.get(("val", which)),
                )
                special = _outside(split, outputs["test", "selected"], kept)
                yield from self._values(where, record, (split, which), data, special)
        except _UNFIT as problem:
            told = f"its predictions are none of task {record.cell.task}: {cause(problem)}"
            yield error(where, told)
        yield from _split(where, record, outputs)
        yield from _on_trust(where, record, outputs)

    def resampled(self, record: Record, outputs: Outputs) -> Resampled | None:
        """Return the primary metric on resampled test examples; None where there is none."""
        task, kept = self._task(record.cell.task), outputs.get(("test", "selected"))
        if record.status != "ok" or isinstance(task, str) or kept is None:
            return None
        return resampled_predictions(task, kept)

    def version_of(self, task: str) -> int | None:
        """Return the installed algorithm version of a task; None where it is not installed."""
        found = self._task(task)
        return None if isinstance(found, str) else found.algorithm_version

    def _specs(
        self, where: str, record: Record, task: Task, info: DatasetInfo
    ) -> Iterator[Finding]:
        """Check names, directions and ranges: they decide which number counts, and how."""
        primary = record.primary
        if primary is None or primary.name != task.metrics[0]:
            named = None if primary is None else primary.name
            yield error(
                where, f"its primary metric is {shown(named)}, that of the task {task.metrics[0]!r}"
            )
        for spec in record.metric_specs:
            metric = self._metric(spec.name)
            own = None if metric is None else metric.spec(info)
            if own is not None and not _same_spec(spec, own):
                yield error(where, f"says otherwise than the metric {spec.name} what it means")

    def _values(
        self,
        where: str,
        record: Record,
        key: tuple[str, str],
        data: MetricInput,
        special: Mapping[str, float],
    ) -> Iterator[Finding]:
        split, which = key
        said = record.metrics.get("last" if which == "last" else "selected", {}).get(split, {})
        if not said:
            yield error(where, f"has predictions of {shown(split)} ({which}) without metrics")
        for name, value in sorted(said.items()):
            metric = self._metric(name)
            if name in special:
                computed: float | None = special[name]
            elif metric is not None:
                computed = metric.compute(data)
            else:
                told = f"{shown(name)} on {shown(split)} cannot be computed here: taken on trust"
                yield warning(where, told)
                continue
            if not _near(value, computed):
                yield error(
                    where,
                    f"{name} on {split} ({which}) is {_text(value)} in the record, "
                    f"{_text(computed)} by its predictions",
                )

    def _task(self, name: str) -> Task | str:
        """Return a task, or why it cannot be had."""
        if name not in self._tasks:
            try:
                self._tasks[name] = cast(Task, self._catalog.create("task", name))
            except SftbenchError as problem:
                self._tasks[name] = str(problem)
        return self._tasks[name]

    def _metric(self, name: str) -> Metric | None:
        if name not in self._metrics:
            try:
                self._metrics[name] = cast(Metric, self._catalog.create("metric", name))
            except SftbenchError:
                self._metrics[name] = None
        return self._metrics[name]


def _info(record: Record, tested: Predictions) -> tuple[DatasetInfo, np.ndarray]:
    """Return what metrics ask of a data set, as far as a record tells it."""
    labels = tuple(one.label for one in record.per_class)
    counts = np.array([one.train_count for one in record.per_class], dtype=np.int64)
    if not labels:
        labels = tuple(map(str, range(tested.outputs.shape[1])))
        counts = np.zeros(len(labels), dtype=np.int64)
    info = DatasetInfo(
        name=record.cell.dataset,
        class_names=labels,
        num_train=record.counts.train_examples,
        num_test=len(tested.index),
        task=record.cell.task,
    )
    return info, counts


def _classes(
    where: str,
    record: Record,
    task: Task,
    data: tuple[DatasetInfo, np.ndarray],
    tested: Predictions,
) -> Iterator[Finding]:
    computed = task.per_class(tested, *data)
    if len(computed) != len(record.per_class):
        yield error(
            where, f"has results of {len(record.per_class)} classes, {len(computed)} are expected"
        )
        return
    for said, own in zip(record.per_class, computed, strict=True):
        if not _same_class(said, own):
            yield error(
                where,
                f"class {shown(said.label, 40)} has support {said.support} and recall "
                f"{_text(said.recall)} in the record, {own.support} and {_text(own.recall)} by its "
                "predictions",
            )


def _outside(split: str, inside: Predictions, outside: Predictions) -> dict[str, float]:
    """Return how well other data are told apart, where a split is of other data; else nothing."""
    if not split.startswith(f"{OOD}:"):
        return {}
    found = {}
    for name in ood.SCORES:
        pair = ood.score(inside.outputs, name), ood.score(outside.outputs, name)
        found[f"auroc_{name}"] = ood.auroc(*pair)
        found[f"fpr95_{name}"] = ood.fpr_at_tpr(*pair)
    return found


def _split(where: str, record: Record, outputs: Outputs) -> Iterator[Finding]:
    """Check that predictions are of the examples that the record names."""
    data = record.provenance.get("data")
    data = data if isinstance(data, dict) else {}
    for split in ("test", "val"):
        hashed = data.get(f"{split}_indices")
        for which in ("selected", "last"):
            kept = outputs.get((split, which))
            if kept is not None and index_hash(kept.index) != hashed:
                yield error(
                    where,
                    f"predictions of {split} ({which}) are not of the examples that it names as "
                    f"{split}_indices",
                )
    expected = (("test", record.counts.test_examples), ("val", record.counts.val_examples))
    for split, count in expected:
        kept = outputs.get((split, "selected"))
        if kept is not None and len(kept.index) != count:
            yield error(
                where, f"says {count} examples of {split}, has predictions of {len(kept.index)}"
            )


def _on_trust(where: str, record: Record, outputs: Outputs) -> Iterator[Finding]:
    """Name numbers that rest on no predictions: a person must decide whether to believe them.

    Runs keep those of test and validation, so there such a number is wrong.
    """
    for which, splits in sorted(record.metrics.items()):
        for split in sorted(splits):
            if (split, which) in outputs:
                continue
            told = f"metrics on {shown(split)} ({which}) rest on no predictions"
            if split in ("test", "val"):
                yield error(where, told)
            else:
                yield warning(where, f"{told}: taken on trust")


def _same_spec(said: MetricSpec, own: MetricSpec) -> bool:
    if (said.name, said.direction) != (own.name, own.direction):
        return False
    pairs = zip((*said.range, said.chance), (*own.range, own.chance), strict=True)
    return all(_near(a, b) for a, b in pairs)


def _same_class(said: ClassResult, own: ClassResult) -> bool:
    is_near = _near(said.recall, own.recall) and _near(said.score, own.score)
    return said.support == own.support and is_near


def _near(said: float | None, computed: float | None) -> bool:
    if said is None or computed is None:
        return said is computed
    return math.isclose(said, computed, rel_tol=_NEAR, abs_tol=_NEAR)


def _text(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.6g}"
