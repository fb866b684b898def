"""Rules for tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sftbench.catalog import Catalog, Offer
from sftbench.contracts.backbone import Backbone, BackboneInfo, Network
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
from sftbench.names import unknown_name
from sftbench.records import ClassResult
from sftbench.testing.findings import BlockedError, Once, UncheckedError
from sftbench.testing.metrics import chosen_rows
from sftbench.testing.tiny import TinyImages, reference_of
from sftbench.verdicts.reasons import REASONS

_WIDTH = 8
_PIXELS = 32
_MOST = 16  # examples that a real network runs on
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Sample:
    """Outputs of an untrained head on the test split of a data set of the task.

    Attributes:
        info: Of the data set.
        outputs: Of the head in train mode, on the graph of autograd.
        targets: What the loss compares them with.
        predictions: Outputs in eval mode, as they are kept.
    """

    info: DatasetInfo
    outputs: Any
    targets: Any
    predictions: Predictions


@dataclass(frozen=True, slots=True)
class Carrier:
    """The network that a head is built for, or what stands for any; and its backbone."""

    network: Network
    info: BackboneInfo
    backbone: Backbone | None


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
        self.network = Once(self._network)
        self.head = Once(lambda: task.head_for(self.network().network, self.dataset().info(), None))
        self.examples = Once(self._loaded)
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

    def _network(self) -> Carrier:
        """Return the first backbone of the task that is here; where any would do, none is built.

        Inputs that are no arrays are brought into their form by what a backbone has: a tokenizer.
        """
        any_would_do = isinstance(self.examples().inputs, np.ndarray)
        if any_would_do and type(self.task).head_for is Task.head_for:
            width = SimpleNamespace(feature_width=_WIDTH)
            info = BackboneInfo(image_size=_PIXELS, mean=(0.5,) * 3, std=(0.5,) * 3)
            return Carrier(cast("Network", width), info, None)
        for offer in self.catalog.listing("backbone"):
            try:
                name = self._example(offer)
                if not name:
                    continue
                backbone = cast("Backbone", self.catalog.create("backbone", name))
                if self.task.served_by(backbone.info()):
                    size = self.dataset().info().image_size or _PIXELS
                    network = cast("Network", backbone.build(size))
                    return Carrier(network, backbone.info(), backbone)
            except SftbenchError:
                continue  # needs a parameter, or is not here
        raise UncheckedError(f"no backbone of task {self.task.name!r} can be built here")

    def _example(self, offer: Offer) -> str:
        """Return a name that a backbone can be built by, with a parameter where it needs one."""
        if isinstance(offer.target, Family):
            return offer.target.example
        return reference_of(self.catalog.get("backbone", offer.name))

    def _loaded(self) -> Examples:
        info = self.dataset().info()
        return self.dataset().load("test", info.image_size or _PIXELS)

    def _sample(self) -> Sample:
        info, carrier = self.dataset().info(), self.network()
        examples = self.examples()
        count = len(examples.targets)
        if carrier.backbone is None:
            features = torch.randn(count, _WIDTH, generator=torch.Generator().manual_seed(0))
        else:
            count = min(count, _MOST)
            with torch.no_grad():
                inputs = self.batches().inputs(torch.arange(count), "plain", None)
                features = cast("nn.Module", carrier.network).eval()(inputs)
        labels = torch.from_numpy(examples.targets[:count])
        targets = _targets_of(self.batches(), torch.arange(count), labels)
        head = self.head()
        if not isinstance(head, nn.Module):
            raise BlockedError
        with torch.no_grad():
            kept = self.task.kept(head.eval()(features), targets)
        predictions = Predictions(
            index=np.arange(count, dtype=np.int64),
            targets=examples.targets[:count],
            outputs=kept.float().numpy(),
        )
        return Sample(info, head.train()(features), targets, predictions)

    def _batches(self) -> BatchSource:
        info, carrier = self.dataset().info(), self.network()
        ctx = BatchContext(
            device=torch.device("cpu"),
            image_size=info.image_size or _PIXELS,
            backbone=carrier.info,
            augment="flip",
            horizontal_flip=True,
            channels_last=False,
            component=carrier.backbone,
        )
        return self.task.batches(self.examples(), ctx)


def names_of_metrics_and_reasons_are_known(subject: TaskSubject) -> str | None:
    """Each metric is a component, the first is the primary one; verdicts know each reason."""
    if not subject.task.metrics:
        return "metrics is empty; the first is the primary one"
    unknown = [name for name in subject.task.metrics if name not in subject.catalog.names("metric")]
    if unknown:
        return f"metric {unknown[0]!r} is offered by no plugin"
    reasons = subject.task.reasons
    if not isinstance(reasons, frozenset) or not all(isinstance(one, str) for one in reasons):
        return "reasons is no frozenset of texts"
    strange = sorted(reasons - set(REASONS))
    return unknown_name("reason", strange[0], REASONS) if strange else None


def head_gives_outputs(subject: TaskSubject) -> str | None:
    """A module whose kept outputs are one finite row for an example."""
    head = subject.head()
    if not isinstance(head, nn.Module):
        return f"head() returned a {type(head).__name__}, not a module"
    kept, count = subject.sample().predictions.outputs, len(subject.sample().predictions.index)
    if kept.ndim != 2 or len(kept) != count:
        return f"kept outputs of {count} examples have shape {list(kept.shape)}"
    return None if bool(np.isfinite(kept).all()) else "outputs are not finite"


def loss_is_a_finite_scalar(subject: TaskSubject) -> str | None:
    """The loss can be differentiated, with label smoothing and without."""
    sample = subject.sample()
    for smoothing in (0.0, 0.1):
        loss = subject.task.loss(sample.outputs, sample.targets, smoothing)
        if loss.shape != ():
            return f"loss has shape {list(loss.shape)}, not that of a scalar"
        if not bool(torch.isfinite(loss)):
            return f"loss is {loss.item()} at label smoothing {smoothing}"
        if not loss.requires_grad:
            return "loss has no gradient"
    return None


def batches_are_seeded(subject: TaskSubject) -> str | None:
    """A plain view is always the same, another one is the same under one seed."""
    batches, total = subject.batches(), len(subject.examples().targets)
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
    """The history has a number, where the task knows one."""
    value = subject.task.validation_loss(subject.sample().predictions)
    return None if value is None or math.isfinite(value) else f"validation_loss is {value}"


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
        if wanted is not None and abs(found - wanted) > task.tolerance:
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


def _targets_of(batches: BatchSource, indices: Tensor, labels: Tensor) -> Any:
    """Return what the loss compares with; a source need not inherit the method."""
    made = getattr(batches, "targets", None)
    return labels if made is None else made(indices, labels)


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
    counts = np.bincount(subject.examples().targets, minlength=info.num_classes)
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
