"""From a request to a plan: names resolved, values checked, combinations skipped with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone, BackboneInfo
from sftbench.contracts.component import Component, Kind
from sftbench.contracts.dataset import Dataset, DatasetInfo, Split, Variant
from sftbench.contracts.strategy import Strategy
from sftbench.contracts.task import Task
from sftbench.data.loading import left_out, load_split
from sftbench.errors import RequestError, UnavailableError
from sftbench.names import split_reference, unknown_name
from sftbench.plan import Cell, Plan, Skip
from sftbench.protocol import Precision, Protocol, named_protocol
from sftbench.request import MAX_CELLS, Request
from sftbench.verdicts.criteria import Criteria

WEIGHTS = ("pretrained", "none")


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
    for weights in request.weights:
        if weights not in WEIGHTS:
            raise RequestError(unknown_name("weights", weights, WEIGHTS))
    axes = _resolve_axes(request, catalog)
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
        resolved = _resolve_protocol(protocol, look, info, precision)
        reason = _reason_to_skip(axes, backbone, info, strategy)
        for seed in request.seeds:
            cell = Cell(
                backbone=backbone,
                weights=weights,
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


def check_weights(plan: Plan, catalog: Catalog) -> None:
    """Find out, before any cell runs, whether the pretrained weights can be had.

    Raises:
        UnavailableError: They cannot; the message says what would work here.
    """
    asked: dict[str, bool] = {}
    for cell in plan.cells:
        strategy = cast(Strategy, catalog.create("strategy", cell.strategy, cell.options))
        wanted = strategy.weights(cell.weights) == "pretrained"
        asked[cell.backbone] = asked.get(cell.backbone, False) or wanted
    for reference, wanted in asked.items():
        if wanted:
            backbone = cast(Backbone, catalog.create("backbone", reference))
            problem = backbone.pretrained_problem()
            if problem:
                raise UnavailableError(problem)


def check_data(plan: Plan, catalog: Catalog) -> list[str]:
    """Decode, before any cell runs, what takes long to decode; workers find it in the cache.

    Returns:
        A line for each split that leaves out what cannot be read.

    Raises:
        UnavailableError: An example cannot be read, and the protocol does not leave it out.
    """
    wanted: dict[tuple[str, Split, int, bool], None] = {}
    for cell in plan.cells:
        size, skip = int(cell.protocol.image_size), cell.protocol.skip_unreadable
        strategy = cast(Strategy, catalog.create("strategy", cell.strategy, cell.options))
        wanted[cell.dataset, "train", size, skip] = None
        wanted[cell.dataset, "test", size, skip] = None
        wanted |= {(name, "train", size, skip): None for name in strategy.sources}
    lines = []
    for reference, split, size, skip in wanted:
        dataset = cast(Dataset, catalog.create("dataset", reference))
        if dataset.cache_key(split, size) is not None:
            examples = load_split(dataset, split, size, skip_unreadable=skip)
            lines.append(left_out(dataset, split, examples))
    return [line for line in lines if line is not None]


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


def _resolve_protocol(
    protocol: Protocol, look: BackboneInfo, info: DatasetInfo, precision: Precision
) -> Protocol:
    """Replace every `auto` by the data set's suggestion, the backbone's size, the device's type."""
    values: dict[str, Any] = {}
    if protocol.image_size == "auto":
        values["image_size"] = info.image_size or look.image_size
    if protocol.limit_train == "auto":
        values["limit_train"] = info.limit_train
    if protocol.limit_test == "auto":
        values["limit_test"] = info.limit_test
    if protocol.precision == "auto":
        values["precision"] = precision
    return protocol.model_copy(update=values)


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
