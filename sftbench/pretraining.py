"""The first of two stages: which cell makes the weights of `pretrain:SOURCE`. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone, BackboneInfo
from sftbench.contracts.component import Kind
from sftbench.contracts.dataset import Dataset, DatasetInfo
from sftbench.contracts.task import Task
from sftbench.errors import RequestError, about
from sftbench.files import read_plain, validated, write_json
from sftbench.plan import Cell
from sftbench.protocol import Precision, Protocol, named_protocol
from sftbench.records import Record
from sftbench.weights import KEY_LENGTH

PROTOCOL: Final = "pretrain"
# A plain training of every parameter, on all of the source.
_STRATEGY: Final = "full"
_VARIANT: Final = "balanced"
_RECORD_FILE: Final = "record.json"
_MAX_RECORD_BYTES: Final = 32 << 20


def pretraining_cell(
    backbone: Backbone,
    source: Dataset,
    catalog: Catalog,
    precision: Precision,
    *,
    protocol: str = PROTOCOL,
    changes: dict[str, Any] | None = None,
) -> Cell:
    """Return the cell that trains a backbone on a source data set from random weights.

    Args:
        backbone: What is trained.
        source: What it is trained on. A pretext without labels is a data set too.
        catalog: Where strategy, variant and task are looked up.
        precision: What `default` and `auto` mean for this backbone on the device of this run.
        protocol: Name of the protocol.
        changes: Laid over it.

    Raises:
        RequestError: An unknown protocol or a wrong value.
        UnavailableError: The data set is not here.
    """
    info = source.info()
    look = backbone.info()
    names: dict[Kind, str] = {"strategy": _STRATEGY, "variant": _VARIANT, "task": info.task}
    parts = {kind: catalog.create(kind, name) for kind, name in names.items()}
    if not cast(Task, parts["task"]).served_by(look):
        raise RequestError(
            f"backbone {backbone.reference} does not serve task {info.task} of {source.reference}"
        )
    resolved = resolve_protocol(named_protocol(protocol, changes), look, info, precision)
    check_mixing(resolved, cast(Task, parts["task"]))
    versions = {kind: part.algorithm_version for kind, part in parts.items()}
    return Cell(
        backbone=backbone.reference,
        weights="none",
        dataset=source.reference,
        variant=_VARIANT,
        strategy=_STRATEGY,
        seed=0,
        task=info.task,
        options=parts["strategy"].options.model_dump(mode="json"),
        protocol=resolved,
        versions={
            **cast("dict[str, int]", versions),
            "backbone": backbone.algorithm_version,
            "dataset": source.algorithm_version,
        },
    )


def keep_record(folder: Path, record: Record) -> None:
    """Write the record of a pretraining beside its weights."""
    write_json(folder / _RECORD_FILE, record.sealed(), _MAX_RECORD_BYTES)


def kept_record(folder: Path) -> Record:
    """Return the record beside the weights in a folder of the cache.

    Raises:
        RecordError: It is not there, or is none.
    """
    return validated(Record, read_plain(folder / _RECORD_FILE, _MAX_RECORD_BYTES))


def pretrained_weights(cell: Cell) -> str:
    """Return the `weights` of cells that start from what a pretraining cell trained."""
    return f"pretrain:{cell.dataset}@{cell.cell_id[:KEY_LENGTH]}"


def resolve_protocol(
    protocol: Protocol, look: BackboneInfo, info: DatasetInfo, precision: Precision
) -> Protocol:
    """Replace every `auto` by the data set's suggestion, the backbone's size, or `precision`."""
    values: dict[str, Any] = {}
    if protocol.image_size == "auto":
        values["image_size"] = info.image_size or look.image_size
    if protocol.limit_train == "auto":
        values["limit_train"] = info.limit_train
    if protocol.limit_test == "auto":
        values["limit_test"] = info.limit_test
    if protocol.precision in {"default", "auto"}:
        values["precision"] = precision
    return protocol.model_copy(update=values)


def check_mixing(protocol: Protocol, task: Task) -> None:
    """Refuse to mix labels where a batch has none, and an augmentation that the task lacks.

    Raises:
        RequestError: The task's batches have several views of each image, or no such labels; or
            it does not know the augmentation.
    """
    if task.augments is not None and protocol.augment not in task.augments:
        with about("changes", "augment"):
            raise RequestError(
                f"task {task.name!r} does not know augment {protocol.augment!r}; it knows: "
                f"{', '.join(sorted(task.augments))}"
            )
    for name in ("mixup", "cutmix"):
        if getattr(protocol, name) > 0 and not (task.mixes and task.num_views == 1):
            why = "has nothing that could be mixed"
            if task.num_views > 1:
                why = f"compares {task.num_views} views of one image"
            with about("changes", name):
                raise RequestError(
                    f"{name} mixes an image with another and their labels; task {task.name!r} {why}"
                )
