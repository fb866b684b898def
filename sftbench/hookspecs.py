"""The hooks: each is called once when the catalog is built, and returns a list.

An implementation must be pure and quick: it returns classes, or `Entry` and `Family` items that
name them, and imports nothing heavy. Names must be unique over all plugins.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from sftbench.contracts.backbone import Backbone
from sftbench.contracts.component import Entry, Family
from sftbench.contracts.dataset import Dataset, Variant
from sftbench.contracts.execution import Executor, Tracker
from sftbench.contracts.strategy import Strategy
from sftbench.contracts.task import Metric, Task
from sftbench.contracts.weights import PackagedWeights

hookspec = pluggy.HookspecMarker("sftbench")
hookimpl = pluggy.HookimplMarker("sftbench")


@hookspec
def sftbench_backbones() -> Sequence[type[Backbone] | Entry | Family]:  # type: ignore[empty-body]
    """Return backbones: pretrained networks without head."""


@hookspec
def sftbench_datasets() -> Sequence[type[Dataset] | Entry | Family]:  # type: ignore[empty-body]
    """Return data sets: labelled examples with a training and a test split."""


@hookspec
def sftbench_variants() -> Sequence[type[Variant] | Entry | Family]:  # type: ignore[empty-body]
    """Return variants: seeded transforms of the training split."""


@hookspec
def sftbench_strategies() -> Sequence[type[Strategy] | Entry | Family]:  # type: ignore[empty-body]
    """Return strategies: ways of fine-tuning."""


@hookspec
def sftbench_tasks() -> Sequence[type[Task] | Entry | Family]:  # type: ignore[empty-body]
    """Return tasks: head, loss, batches, metrics, statistics."""


@hookspec
def sftbench_metrics() -> Sequence[type[Metric] | Entry | Family]:  # type: ignore[empty-body]
    """Return metrics: numbers computed from predictions."""


@hookspec
def sftbench_executors() -> Sequence[type[Executor] | Entry | Family]:  # type: ignore[empty-body]
    """Return executors: where cells run."""


@hookspec
def sftbench_trackers() -> Sequence[type[Tracker] | Entry | Family]:  # type: ignore[empty-body]
    """Return trackers: who is told about a run."""


@hookspec
def sftbench_weights() -> Sequence[PackagedWeights]:  # type: ignore[empty-body]
    """Return packages that carry pretrained weights of backbones."""
