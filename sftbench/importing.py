"""Somebody else's results as records: the report compares them, and says that they are imported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from sftbench.attempts import Outputs
from sftbench.contracts.task import Predictions, Task
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError
from sftbench.names import MAX_NAME, one_line, shown
from sftbench.options import validate
from sftbench.plan import Cell, Plan
from sftbench.protocol import Protocol
from sftbench.records import Failure, MetricSpec, Record, now
from sftbench.scoring import resampled_predictions
from sftbench.store import Store

# A table rounds: a value may be this far from what the predictions beside it give.
_ROUNDING = 0.006
_TEST = ("test", "selected")
ACCURACY = MetricSpec(name="accuracy", primary=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One number of a table: what a method reached with a seed.

    Attributes:
        strategy: The method, in the words of its source.
        seed: Of the run; outcomes of one seed are compared with each other.
        value: The metric on the test split, within the metric's range; None where the run failed,
            or where `predictions` say.
        error: Why it failed; its kind may stand first, as in `ValueError: no such layer`.
        metrics: Further numbers on the test split, by name.
        seconds: Wall-clock of the run; None where nobody says.
        predictions: Of the test examples; without them no interval over examples can be had.
    """

    strategy: str
    seed: int
    value: float | None = None
    error: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    predictions: Predictions | None = None


def labels_as_predictions(
    index: ArrayLike, targets: ArrayLike, predicted: ArrayLike, num_classes: int
) -> Predictions:
    """Return predicted classes as predictions: outputs are 1 for the class and 0 for others.

    They give accuracy and what follows from it; they say nothing of confidence.

    Args:
        index: Number of each example in the test split, [N].
        targets: True class, [N].
        predicted: Predicted class, [N].
        num_classes: C.

    Raises:
        RequestError: Lengths differ, or a class is none of 0 to C - 1.
    """
    arrays = [np.asarray(one, dtype=np.int64) for one in (index, targets, predicted)]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise RequestError(f"index, targets and predicted must have one length, got {shapes}")
    for name, array in zip(("targets", "predicted"), arrays[1:], strict=True):
        if array.size and not 0 <= array.min() <= array.max() < num_classes:
            raise RequestError(f"{name} must be classes 0 to {num_classes - 1}")
    outputs = np.zeros((len(arrays[0]), num_classes), dtype=np.float32)
    outputs[np.arange(len(outputs)), arrays[2]] = 1.0
    return Predictions(index=arrays[0], targets=arrays[1], outputs=outputs)


def import_results(
    out: str | Path,
    outcomes: Iterable[Outcome],
    *,
    source: str,
    dataset: str,
    baseline: str,
    metric: MetricSpec = ACCURACY,
    backbone: str = "unknown",
    weights: str = "unknown",
    variant: str = "unknown",
    task: str = "image-classification",
) -> Plan:
    """Write outcomes into a store, with a plan that expects each method with each seed.

    What no outcome tells is missing in the report, as it would be after a run. Outcomes of another
    source make a section of their own: nobody knows that they share a protocol. Importing again
    adds attempts, of which the latest count.

    Args:
        out: Folder of the store.
        outcomes: Each method and seed once.
        source: Where they come from: a paper, a file; the report names it.
        dataset: What was tested on.
        baseline: The method that others are compared with.
        metric: What `value` is, and its range: 0 to 1 where none is given.
        backbone: Of all of them.
        weights: What they start from.
        variant: Of the data set.
        task: An installed task, for its reasons and for predictions.

    Returns:
        The plan.

    Raises:
        RequestError: An outcome stands twice, a name is none, a number cannot be, or value and
            predictions disagree.
    """
    found = list(outcomes)
    judge = cast(Task, build_catalog().create("task", task))
    if not isinstance(metric, MetricSpec):
        raise RequestError(
            f"metric must be a MetricSpec, as MetricSpec(name=...), not {shown(metric)}"
        )
    _check(found, source, baseline)
    for one in found:
        _check_numbers(one, metric)
    shared = {
        "backbone": backbone,
        "weights": weights,
        "dataset": dataset,
        "variant": variant,
        "task": task,
        "options": {},
        # Its name makes it another than any protocol here, and another source's.
        "protocol": Protocol(name=one_line(source), precision="fp32", image_size=8),
        "versions": {"import": 1},
    }
    strategies = dict.fromkeys(one.strategy for one in found)
    seeds = sorted({one.seed for one in found})
    cells = {
        (name, seed): validate(Cell, {"strategy": name, "seed": seed, **shared}, _where(name, seed))
        for name in strategies
        for seed in seeds
    }
    primary = metric.model_copy(update={"primary": True})
    drafts = [_draft(one, cells[one.strategy, one.seed], primary, source, judge) for one in found]
    plan = Plan(cells=tuple(cells.values()), baseline=baseline)
    store = Store(Path(out))
    store.add_plan(plan)
    for draft, outputs in drafts:
        resampled = resampled_predictions(judge, outputs[_TEST]) if outputs else None
        store.write(draft, outputs, resampled)
    return plan


def _check(outcomes: list[Outcome], source: str, baseline: str) -> None:
    """Refuse what no report could tell apart, before anything is written."""
    seen: set[tuple[str, int]] = set()
    for one in outcomes:
        name = one.strategy
        if not (isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()):
            raise RequestError(f"{shown(name)} cannot name a method: 1 to {MAX_NAME} signs")
        if (one.strategy, one.seed) in seen:
            raise RequestError(f"{shown(one.strategy)} has two outcomes for seed {one.seed}")
        seen.add((one.strategy, one.seed))
    names = sorted({one.strategy for one in outcomes})
    if baseline not in names:
        listed = ", ".join(shown(name) for name in names) or "none"
        raise RequestError(f"no outcome of the baseline {shown(baseline)}; methods: {listed}")
    if not source.strip():
        raise RequestError("say where the outcomes come from: source='table 2 of ...'")


def _check_numbers(one: Outcome, metric: MetricSpec) -> None:
    """Refuse numbers of an outcome that no run gives."""
    where = _where(one.strategy, one.seed)
    if not isinstance(one.seed, Integral):
        raise RequestError(f"{where}: a seed is a whole number, not {shown(one.seed, 40)}")
    named = [(metric.name, one.value), *one.metrics.items(), ("seconds", one.seconds)]
    for name, value in named:
        if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
            raise RequestError(
                f"{where}: {one_line(str(name), 60)} must be a finite number, "
                f"not {shown(value, 60)}; None where there is none"
            )
    if one.seconds is not None and one.seconds < 0:
        raise RequestError(f"{where}: seconds are {one.seconds:g}; no run takes less than 0")
    low, high = metric.range
    if one.value is not None and not low <= one.value <= (math.inf if high is None else high):
        span = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
        percent = "divide percentages by 100, or " if high == 1 and one.value > 1 else ""
        raise RequestError(
            f"{where}: {one_line(metric.name, 60)} is {one.value:g}, and its range is {span}; "
            f"{percent}say what it is: metric=MetricSpec(..., range=...)"
        )


def _where(strategy: str, seed: int) -> str:
    return f"{shown(strategy)} seed {one_line(str(seed), 40)}"


def _failure(error: str) -> Failure:
    """Return why a run failed; the words before a colon are its kind where they are one name."""
    kind, _, message = error.partition(": ")
    if message.strip() and kind.replace(".", "_").isidentifier():
        return Failure(type=kind, message=message)
    return Failure(type="Error", message=error or "no value is given")


def _draft(
    one: Outcome, cell: Cell, metric: MetricSpec, source: str, task: Task
) -> tuple[Record, Outputs | None]:
    value = one.value if one.predictions is None else _from_predictions(one, metric, task)
    is_ok = value is not None
    time = now()
    record = validate(
        Record,
        {
            "cell_id": cell.cell_id,
            "attempt": 1,
            "cell": cell,
            "status": "ok" if is_ok else "failed",
            "error": None if is_ok else _failure(one.error),
            "metric_specs": (metric,) if is_ok else (),
            "metrics": {"selected": {"test": {**one.metrics, metric.name: value}}} if is_ok else {},
            "timing": {"total_seconds": one.seconds or 0.0},
            "provenance": {"imported": {"source": source}},
            "started_at": time,
            "finished_at": time,
        },
        _where(one.strategy, one.seed),
    )
    kept = {_TEST: one.predictions} if is_ok and one.predictions is not None else None
    return record, kept


def _from_predictions(one: Outcome, metric: MetricSpec, task: Task) -> float:
    """Return the metric of the predictions, which a table only rounds."""
    assert one.predictions is not None  # noqa: S101 - the caller has looked
    if metric.name != task.metrics[0]:
        raise RequestError(
            f"predictions of task {task.name} give {task.metrics[0]}, not {shown(metric.name)}"
        )
    sums = task.statistics(one.predictions).sum(axis=0)
    found = float(task.primary_from_sums(sums))
    if one.value is not None and abs(found - one.value) > _ROUNDING:
        raise RequestError(
            f"{_where(one.strategy, one.seed)}: {metric.name} is said to be {one.value:g}, "
            f"and its predictions give {found:.4g}"
        )
    return found
