"""From a request to a plan: names resolved, values checked, combinations skipped with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone, BackboneInfo
from sftbench.contracts.dataset import Dataset, DatasetInfo, Variant
from sftbench.contracts.strategy import Strategy
from sftbench.contracts.task import Task
from sftbench.errors import RequestError, SftbenchError, about
from sftbench.measurable import resolve_measures
from sftbench.names import shown, split_reference
from sftbench.options import validate
from sftbench.plan import Cell, Plan, Skip
from sftbench.pretraining import (
    check_mixing,
    pretrained_weights,
    pretraining_cell,
    resolve_protocol,
)
from sftbench.protocol import Precision, Protocol, named_protocol
from sftbench.request import MAX_CELLS, Request
from sftbench.search import parse_tune, trials
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


Measured = Callable[[Backbone, int, int], Precision]
"""Returns the precision that `auto` means for a backbone, pixels and a batch size."""


def make_plan(
    request: Request, catalog: Catalog, precision: Precision, measured: Measured | None = None
) -> Plan:
    """Build every combination of a request's axes.

    Args:
        request: What is asked for.
        catalog: Where names are looked up.
        precision: What `default` means on the device of this run.
        measured: What `auto` means there; None: the same.

    Raises:
        RequestError: An unknown name, a wrong value, or no cell that can run.
        UnavailableError: A data set is not here.
    """
    protocol = _tuned(named_protocol(request.protocol, request.changes), request)
    with about("criteria"):
        Criteria().overridden(request.criteria)
    axes = _resolve_axes(request, catalog)
    _check_settings(request, axes)
    protocol = _measuring(protocol, request, axes, catalog)
    count = (
        len(axes.backbones) * len(request.weights) * len(axes.datasets) * len(axes.variants)
    ) * (len(axes.strategies) * len(request.seeds))
    if count > MAX_CELLS:
        raise RequestError(f"the plan has {count:,} cells; {MAX_CELLS:,} is the most")
    protocols = _resolve_protocols(protocol, axes, precision, measured)
    weights_of = _resolve_weights(request, axes, catalog, protocols)
    cells: list[Cell] = []
    skipped: list[Skip] = []
    for backbone, weights, dataset, variant, strategy in itertools.product(
        axes.backbones, request.weights, axes.datasets, axes.variants, axes.strategies
    ):
        info = axes.datasets[dataset][1]
        resolved = protocols[backbone, dataset]
        check_mixing(resolved, axes.tasks[info.task])
        reason = _reason_to_skip(axes, backbone, info, variant, strategy)
        for seed in request.seeds:
            cell = Cell(
                backbone=backbone,
                weights=weights_of[backbone, weights, resolved.precision],
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


def _tuned(protocol: Protocol, request: Request) -> Protocol:
    """Return the protocol with the values that every strategy tries; each is checked here."""
    if not request.tune:
        return protocol
    values = {key: parse_tune(key, given) for key, given in request.tune.items()}
    with about("tune"):
        both = validate(Protocol, protocol.model_dump() | {"tune": values}, "tune")
    trials(both)
    return both


def _measuring(protocol: Protocol, request: Request, axes: _Axes, catalog: Catalog) -> Protocol:
    """Return the protocol with what is measured besides metrics, which this plan can have."""
    infos = {name: info for name, (_, info) in axes.datasets.items()}
    measures = resolve_measures(protocol.evaluate, infos, axes.tasks, request.weights, catalog)
    return protocol.model_copy(update={"evaluate": measures})


def _resolve_protocols(
    protocol: Protocol, axes: _Axes, precision: Precision, measured: Measured | None
) -> dict[tuple[str, str], Protocol]:
    """Return the protocol of cells by backbone and data set: no value in it is `auto`."""
    resolved = {}
    for (backbone, (made, look)), (dataset, (_, info)) in itertools.product(
        axes.backbones.items(), axes.datasets.items()
    ):
        found = resolve_protocol(protocol, look, info, precision)
        # What is skipped is not measured.
        is_served = axes.tasks[info.task].served_by(look)
        if protocol.precision == "auto" and measured is not None and is_served:
            fastest = measured(made, int(found.image_size), found.batch_size)
            found = found.model_copy(update={"precision": fastest})
        resolved[backbone, dataset] = found
    return resolved


def _resolve_weights(
    request: Request,
    axes: _Axes,
    catalog: Catalog,
    protocols: Mapping[tuple[str, str], Protocol],
) -> dict[tuple[str, str, Precision], str]:
    """Return what cells say of their weights, by backbone, what the request says, and precision.

    An own first stage is trained in the precision of the second.
    """
    resolved: dict[tuple[str, str, Precision], str] = {}
    for text, ((name, _), protocol) in itertools.product(request.weights, protocols.items()):
        key = (name, text, protocol.precision)
        if key not in resolved:
            with about("weights", text):
                backbone = axes.backbones[name][0]
                resolved[key] = _cell_weights(text, backbone, catalog, protocol.precision)
    return resolved


def _cell_weights(text: str, backbone: Backbone, catalog: Catalog, precision: Precision) -> str:
    """Return what a cell says of the weights that a request names."""
    source = pretrain_source(text)
    if source is not None and not is_keyed(text):
        dataset = cast(Dataset, catalog.create("dataset", source))
        return pretrained_weights(pretraining_cell(backbone, dataset, catalog, precision))
    if source is None and is_file_name(text):
        return file_reference(Path(text).expanduser())
    parse_weights(text)
    return text


def _resolve_axes(request: Request, catalog: Catalog) -> _Axes:
    backbones: dict[str, tuple[Backbone, BackboneInfo]] = {}
    for reference in request.backbone:
        with about("backbone", reference):
            backbone = cast(Backbone, catalog.create("backbone", reference))
            backbones[backbone.reference] = (backbone, backbone.info())
    datasets: dict[str, tuple[Dataset, DatasetInfo]] = {}
    for reference in request.dataset:
        with about("dataset", reference):
            dataset = cast(Dataset, catalog.create("dataset", reference))
            datasets[dataset.reference] = (dataset, dataset.info())
    variants: dict[str, Variant] = {}
    for reference in request.variant:
        with about("variant", reference):
            variant = cast(Variant, catalog.create("variant", reference))
            variants[variant.reference] = variant
    strategies = [
        _strategy(request, catalog, name, ("strategy", name)) for name in request.strategy
    ]
    tasks = {info.task for _, info in datasets.values()}
    return _Axes(
        backbones=backbones,
        datasets=datasets,
        variants=variants,
        strategies={strategy.reference: strategy for strategy in strategies},
        tasks={name: cast(Task, catalog.create("task", name)) for name in sorted(tasks)},
    )


def _strategy(
    request: Request, catalog: Catalog, reference: str, place: tuple[str, ...]
) -> Strategy:
    """Build a strategy; a mistake in its options is about those, another about its `place`."""
    name = split_reference(reference)[0]
    settings = request.settings.get(name, {})
    if name in request.composites:
        settings = {**request.composites[name].model_dump(mode="json"), **settings}
    try:
        return cast(Strategy, catalog.create("strategy", reference, settings))
    except SftbenchError as error:
        is_setting = bool(error.about) and error.about[0] in settings
        if name in request.composites:
            error.about = ("composites", name)
        else:
            error.about = ("settings", name, *error.about) if is_setting else place
        raise


def _check_settings(request: Request, axes: _Axes) -> None:
    """Refuse options of a strategy that the request does not run."""
    known = {split_reference(name)[0] for name in axes.strategies}
    for name in request.composites:
        if name not in known:
            with about("composites", name):
                raise RequestError(
                    f"composite {shown(name)} is not among the strategies of this plan: "
                    f"{', '.join(sorted(known))}"
                )
    for name in request.settings:
        if name not in known:
            with about("settings", name):
                raise RequestError(
                    f"option of strategy {shown(name)}, which this plan does not run; it runs: "
                    f"{', '.join(sorted(known))}"
                )


def _canonical_baseline(request: Request, catalog: Catalog) -> str:
    return _strategy(request, catalog, request.baseline, ("baseline",)).reference


def _reason_to_skip(
    axes: _Axes, backbone: str, info: DatasetInfo, variant: str, strategy: str
) -> str | None:
    look, asked = axes.backbones[backbone][1], axes.strategies[strategy]
    if not axes.tasks[info.task].served_by(look):
        return f"backbone {backbone} does not serve task {info.task}"
    if asked.needs_labels and not axes.tasks[info.task].labels:
        return f"strategy {strategy} needs one class for each example, task {info.task} has others"
    if asked.needs_unlabelled and axes.variants[variant].keeps_all:
        return (
            f"strategy {strategy} learns from examples without labels, and variant {variant} "
            "leaves none; use --variant labels:N"
        )
    return asked.supports(info.task, look, info)


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
