"""From a request to a plan: names resolved, values checked, combinations skipped with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone, BackboneInfo
from sftbench.contracts.component import Component, Kind
from sftbench.contracts.dataset import Dataset, DatasetInfo, Variant
from sftbench.contracts.strategy import Strategy
from sftbench.contracts.task import Task
from sftbench.errors import RequestError
from sftbench.names import split_reference
from sftbench.plan import Cell, Plan, Skip
from sftbench.pretraining import pretrained_weights, pretraining_cell, resolve_protocol
from sftbench.protocol import Precision, named_protocol
from sftbench.request import MAX_CELLS, Request
from sftbench.verdicts.criteria import Criteria
from sftbench.weights import (
    file_reference,
    is_file_name,
    is_keyed,
    parse_weights,
    pretrain_source,
)


@dataclass(frozen=True, slots=True)
class _Axes:
    """The components of a request, by the reference that cells will carry."""

    backbones: Mapping[str, tuple[Backbone, BackboneInfo]]
    datasets: Mapping[str, tuple[Dataset, DatasetInfo]]
    variants: Mapping[str, Variant]
    strategies: Mapping[str, Strategy]
    tasks: Mapping[str, Task]


def make_plan(request: Request, catalog: Catalog, precision: Precision) -> Plan:
    """Build every combination of a request's axes.

    Args:
        request: What is asked for.
        catalog: Where names are looked up.
        precision: What `auto` means on the device of this run.

    Raises:
        RequestError: An unknown name, a wrong value, or no cell that can run.
        UnavailableError: A data set is not here.
    """
    protocol = named_protocol(request.protocol, request.changes)
    Criteria().overridden(request.criteria)
    axes = _resolve_axes(request, catalog)
    weights_of = _resolve_weights(request, axes, catalog, precision)
    _check_settings(request, axes)
    count = (
        len(axes.backbones) * len(request.weights) * len(axes.datasets) * len(axes.variants)
    ) * (len(axes.strategies) * len(request.seeds))
    if count > MAX_CELLS:
        raise RequestError(f"the plan has {count:,} cells; {MAX_CELLS:,} is the most")
    cells: list[Cell] = []
    skipped: list[Skip] = []
    for backbone, weights, dataset, variant, strategy in itertools.product(
        axes.backbones, request.weights, axes.datasets, axes.variants, axes.strategies
    ):
        info = axes.datasets[dataset][1]
        look = axes.backbones[backbone][1]
        resolved = resolve_protocol(protocol, look, info, precision)
        reason = _reason_to_skip(axes, backbone, info, strategy)
        for seed in request.seeds:
            cell = Cell(
                backbone=backbone,
                weights=weights_of[backbone, weights],
                dataset=dataset,
                variant=variant,
                strategy=strategy,
                seed=seed,
                task=info.task,
                options=axes.strategies[strategy].options.model_dump(mode="json"),
                protocol=resolved,
                versions=_versions(axes, backbone, dataset, variant, strategy, info.task),
            )
            if reason:
                skipped.append(Skip(cell=cell, reason=reason))
            else:
                cells.append(cell)
    baseline = _canonical_baseline(request, catalog)
    return Plan(
        cells=tuple(cells),
        skipped=tuple(skipped),
        baseline=baseline,
        criteria=dict(request.criteria),
    )


def _resolve_weights(
    request: Request, axes: _Axes, catalog: Catalog, precision: Precision
) -> dict[tuple[str, str], str]:
    """Return what cells say of their weights, by backbone and by what the request says."""
    resolved = {}
    for text in request.weights:
        source = pretrain_source(text)
        for name, (backbone, _) in axes.backbones.items():
            if source is not None and not is_keyed(text):
                dataset = cast(Dataset, catalog.create("dataset", source))
                first = pretraining_cell(backbone, dataset, catalog, precision)
                resolved[name, text] = pretrained_weights(first)
            elif source is None and is_file_name(text):
                resolved[name, text] = file_reference(Path(text).expanduser())
            else:
                parse_weights(text)
                resolved[name, text] = text
    return resolved


def _resolve_axes(request: Request, catalog: Catalog) -> _Axes:
    backbones = cast(dict[str, Backbone], _components(catalog, "backbone", request.backbone))
    datasets = cast(dict[str, Dataset], _components(catalog, "dataset", request.dataset))
    strategies = {}
    for reference in request.strategy:
        settings = request.settings.get(split_reference(reference)[0], {})
        component = cast(Strategy, catalog.create("strategy", reference, settings))
        strategies[component.reference] = component
    described = {name: (dataset, dataset.info()) for name, dataset in datasets.items()}
    tasks = {info.task for _, info in described.values()}
    return _Axes(
        backbones={name: (backbone, backbone.info()) for name, backbone in backbones.items()},
        datasets=described,
        variants=cast(dict[str, Variant], _components(catalog, "variant", request.variant)),
        strategies=strategies,
        tasks=cast(dict[str, Task], _components(catalog, "task", sorted(tasks))),
    )


def _components(
    catalog: Catalog, kind: Kind, references: tuple[str, ...] | list[str]
) -> dict[str, Component]:
    made = [catalog.create(kind, reference) for reference in references]
    return {component.reference: component for component in made}


def _check_settings(request: Request, axes: _Axes) -> None:
    """Refuse options of a strategy that the request does not run."""
    known = {split_reference(name)[0] for name in axes.strategies}
    for name in request.settings:
        if name not in known:
            raise RequestError(
                f"option of strategy {name!r}, which this plan does not run; it runs: "
                f"{', '.join(sorted(known))}"
            )


def _canonical_baseline(request: Request, catalog: Catalog) -> str:
    settings = request.settings.get(split_reference(request.baseline)[0], {})
    return catalog.create("strategy", request.baseline, settings).reference


def _reason_to_skip(axes: _Axes, backbone: str, info: DatasetInfo, strategy: str) -> str | None:
    look = axes.backbones[backbone][1]
    if info.task not in look.tasks:
        return f"backbone {backbone} does not serve task {info.task}"
    return axes.strategies[strategy].supports(info.task, look, info)


def _versions(
    axes: _Axes, backbone: str, dataset: str, variant: str, strategy: str, task: str
) -> dict[str, int]:
    return {
        "backbone": axes.backbones[backbone][0].algorithm_version,
        "dataset": axes.datasets[dataset][0].algorithm_version,
        "variant": axes.variants[variant].algorithm_version,
        "strategy": axes.strategies[strategy].algorithm_version,
        "task": axes.tasks[task].algorithm_version,
    }
