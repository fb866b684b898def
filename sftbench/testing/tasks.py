"""Rules for tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import BackboneInfo
from sftbench.contracts.component import Family
from sftbench.contracts.dataset import Dataset, DatasetInfo, Examples
from sftbench.contracts.task import (
    BatchContext,
    BatchSource,
    Metric,
    MetricInput,
    Predictions,
    Task,
)
from sftbench.errors import SftbenchError
from sftbench.records import ClassResult
from sftbench.testing.findings import Once, UncheckedError
from sftbench.testing.metrics import chosen_rows
from sftbench.testing.tiny import TinyImages

_WIDTH = 8
_PIXELS = 32
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Sample:
    """A data set of the task, its test split, and outputs of an untrained head on it.

    Attributes:
        info: Of the data set.
        examples: Its test split.
        outputs: Of the head, on the graph of autograd.
        predictions: The same, as they are kept.
    """

    info: DatasetInfo
    examples: Examples
    outputs: Tensor
    predictions: Predictions


class TaskSubject:
    """A task, on the first data set of it that is here.

    Args:
        task: The component.
        catalog: Where data sets and metrics are.
    """

    def __init__(self, task: Task, catalog: Catalog) -> None:
        self.task = task
        self.catalog = catalog
        self.dataset = Once(self._dataset)
        self.head = Once(lambda: task.head(_WIDTH, self.dataset().info()))
        self.sample = Once(self._sample)
        self.batches = Once(self._batches)

    def _dataset(self) -> Dataset:
        names = [
            o.name for o in self.catalog.listing("dataset") if not isinstance(o.target, Family)
        ]
        for name in sorted(names, key=lambda name: name != TinyImages.name):
            try:
                dataset = cast("Dataset", self.catalog.create("dataset", name))
                if dataset.info().task == self.task.name:
                    return dataset
            except SftbenchError:
                continue  # needs a parameter, or is not here
        raise UncheckedError(f"no data set of task {self.task.name!r} can be loaded here")

    def _sample(self) -> Sample:
        info = self.dataset().info()
        examples = self.dataset().load("test", info.image_size or _PIXELS)
        count = len(examples.targets)
        features = torch.randn(count, _WIDTH, generator=torch.Generator().manual_seed(0))
        outputs = self.head()(features)
        predictions = Predictions(
            index=np.arange(count, dtype=np.int64),
            targets=examples.targets,
            outputs=outputs.detach().float().numpy(),
        )
        return Sample(info, examples, outputs, predictions)

    def _batches(self) -> BatchSource:
        sample = self.sample()
        ctx = BatchContext(
            device=torch.device("cpu"),
            image_size=sample.info.image_size or _PIXELS,
            backbone=BackboneInfo(image_size=_PIXELS, mean=(0.5,) * 3, std=(0.5,) * 3),
            augment="flip",
            horizontal_flip=True,
            channels_last=False,
        )
        return self.task.batches(sample.examples, ctx)


def names_of_metrics_and_reasons_are_known(subject: TaskSubject) -> str | None:
    """Each metric is a component, the first is the primary one; reasons are texts."""
    if not subject.task.metrics:
        return "metrics is empty; the first is the primary one"
    unknown = [name for name in subject.task.metrics if name not in subject.catalog.names("metric")]
    if unknown:
        return f"metric {unknown[0]!r} is offered by no plugin"
    texts = isinstance(subject.task.reasons, frozenset) and all(
        isinstance(reason, str) for reason in subject.task.reasons
    )
    return None if texts else "reasons is no frozenset of texts"


def head_gives_outputs(subject: TaskSubject) -> str | None:
    """A module that maps features [B, D] to one finite row of outputs an example."""
    head = subject.head()
    if not isinstance(head, nn.Module):
        return f"head() returned a {type(head).__name__}, not a module"
    with torch.no_grad():
        outputs = head(torch.ones(3, _WIDTH))
    if len(outputs) != 3:
        return f"outputs of 3 examples have shape {list(outputs.shape)}"
    return None if bool(torch.isfinite(outputs).all()) else "outputs are not finite"


def loss_is_a_finite_scalar(subject: TaskSubject) -> str | None:
    """The loss can be differentiated, with label smoothing and without."""
    sample = subject.sample()
    targets = torch.from_numpy(np.asarray(sample.examples.targets))
    for smoothing in (0.0, 0.1):
        loss = subject.task.loss(sample.outputs, targets, smoothing)
        if loss.shape != ():
            return f"loss has shape {list(loss.shape)}, not that of a scalar"
        if not bool(torch.isfinite(loss)):
            return f"loss is {loss.item()} at label smoothing {smoothing}"
        if not loss.requires_grad:
            return "loss has no gradient"
    return None


def batches_are_seeded(subject: TaskSubject) -> str | None:
    """A plain view is always the same, another one is the same under one seed."""
    batches, total = subject.batches(), len(subject.sample().examples.targets)
    if len(batches) != total:
        return f"has {len(batches)} examples of {total}"
    chosen = torch.tensor([1, 0])
    if not _same_batch(
        batches.inputs(chosen, "plain", None), batches.inputs(chosen, "plain", None)
    ):
        return "two plain views of the same examples differ"
    first, second = (
        batches.inputs(chosen, "weak", torch.Generator().manual_seed(5)) for _ in range(2)
    )
    return None if _same_batch(first, second) else "two weak views under one seed differ"


def validation_loss_is_finite(subject: TaskSubject) -> str | None:
    """The history has a number."""
    value = subject.task.validation_loss(subject.sample().predictions)
    return None if math.isfinite(value) else f"validation_loss is {value}"


def statistics_are_additive(subject: TaskSubject) -> str | None:
    """Each example's row is its own, and the primary metric follows from the sum of the rows."""
    task, whole = subject.task, subject.sample().predictions
    count = len(whole.targets)
    rows = task.statistics(whole)
    if rows.dtype != np.float64 or rows.ndim != 2 or len(rows) != count:
        return f"statistics are {rows.dtype} {list(rows.shape)}, not float64 [{count}, K]"
    for part in (np.arange(count), np.arange(count)[::2], np.arange(count)[count // 3 :]):
        some = chosen_rows(whole, part)
        if not np.allclose(task.statistics(some), rows[part], rtol=0, atol=_CLOSE):
            return "the row of an example depends on the others"
        wanted = _primary(subject, some)
        found = float(task.primary_from_sums(rows[part].sum(axis=0)))
        if wanted is not None and abs(found - wanted) > _CLOSE:
            return f"primary_from_sums gives {found:g}; metric {task.metrics[0]!r} gives {wanted:g}"
    return None


def sums_may_have_leading_axes(subject: TaskSubject) -> str | None:
    """`primary_from_sums` maps [..., K] to [...]: a bootstrap sums many draws at once."""
    sums = subject.task.statistics(subject.sample().predictions).sum(axis=0)
    found = np.asarray(subject.task.primary_from_sums(np.broadcast_to(sums, (2, 3, len(sums)))))
    return None if found.shape == (2, 3) else f"sums [2, 3, K] become {list(found.shape)}"


def per_class_names_the_classes(subject: TaskSubject) -> str | None:
    """One result for each class in the order of the targets, or none at all."""
    sample = subject.sample()
    counts = np.ones(sample.info.num_classes, dtype=np.int64)
    found: object = subject.task.per_class(sample.predictions, sample.info, counts)
    if not isinstance(found, tuple) or not all(isinstance(one, ClassResult) for one in found):
        return "per_class() did not return a tuple of ClassResult"
    labels = tuple(one.label for one in found)
    return None if labels in {(), sample.info.class_names} else f"labels are {labels}"


TASK = (
    names_of_metrics_and_reasons_are_known,
    head_gives_outputs,
    loss_is_a_finite_scalar,
    batches_are_seeded,
    validation_loss_is_finite,
    statistics_are_additive,
    sums_may_have_leading_axes,
    per_class_names_the_classes,
)


def _primary(subject: TaskSubject, predictions: Predictions) -> float | None:
    info = subject.sample().info
    metric = cast("Metric", subject.catalog.create("metric", subject.task.metrics[0]))
    counts = np.bincount(subject.sample().examples.targets, minlength=info.num_classes)
    return metric.compute(
        MetricInput(predictions=predictions, num_classes=info.num_classes, train_counts=counts)
    )


def _same_batch(first: object, second: object) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            _same_batch(first[key], second[key]) for key in first
        )
    return repr(first) == repr(second)
