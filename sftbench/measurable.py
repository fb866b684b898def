"""Whether what a protocol wants measured besides metrics can be: told when the plan is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.dataset import Dataset, DatasetInfo
from sftbench.contracts.task import Task
from sftbench.errors import RequestError, about
from sftbench.measures import ATTRIBUTION, FORGETTING, OOD, checked, kind_of
from sftbench.names import shown
from sftbench.weights import pretrain_source


def resolve_measures(
    measures: Collection[str],
    datasets: Mapping[str, DatasetInfo],
    tasks: Mapping[str, Task],
    weights: Collection[str],
    catalog: Catalog,
) -> tuple[str, ...]:
    """Return measures with the references that their data sets have in a plan.

    Args:
        measures: Of the protocol.
        datasets: What the plan trains on, by reference.
        tasks: Of those data sets, by name.
        weights: What the request says of weights.
        catalog: Where names are looked up.

    Raises:
        RequestError: One cannot be measured in this plan.
        UnavailableError: A data set is not here.
    """
    with about("changes", "evaluate"):
        for measure in measures:
            _check_served(kind_of(measure), datasets, tasks)
        if ATTRIBUTION in measures and find_spec("captum") is None:
            raise RequestError(
                "attribution needs the package captum: pip install 'sftbench[attribution]'"
            )
        if FORGETTING in measures and not any(map(pretrain_source, weights)):
            raise RequestError(
                "forgetting needs the data that weights were trained on; add --weights "
                "pretrain:SOURCE"
            )
        return checked([_resolved(measure, datasets, catalog) for measure in measures])


def _check_served(
    kind: str, datasets: Mapping[str, DatasetInfo], tasks: Mapping[str, Task]
) -> None:
    for reference, info in datasets.items():
        served = tasks[info.task].measures
        if kind not in served:
            raise RequestError(
                f"{kind} cannot be measured for task {info.task} of {reference}; it has: "
                f"{', '.join(sorted(served)) or 'none'}"
            )


def _resolved(measure: str, datasets: Mapping[str, DatasetInfo], catalog: Catalog) -> str:
    """Return a measure with its data set's reference in a plan.

    Raises:
        RequestError: The data set is one that is trained on, or of another task.
        UnavailableError: It is not here.
    """
    kind, _, name = measure.partition(":")
    if kind != OOD:
        return measure
    dataset = cast(Dataset, catalog.create("dataset", name))
    info = dataset.info()
    for reference, target in datasets.items():
        if dataset.reference == reference:
            raise RequestError(
                f"ood {shown(name)} is the data set of the plan itself; choose another"
            )
        if info.task != target.task:
            raise RequestError(
                f"ood {shown(name)} is of task {info.task}, {reference} of task {target.task}; "
                "choose a data set of the same task"
            )
    return f"{OOD}:{dataset.reference}"
