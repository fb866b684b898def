"""From a cell's names to what the engine trains: components, data, model, context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sftbench.contracts.backbone import Backbone, Network
from sftbench.contracts.dataset import Dataset, Split, Variant, VariantContext
from sftbench.contracts.strategy import Strategy, StrategyContext
from sftbench.contracts.task import Metric, Task
from sftbench.data.splits import carve_validation, index_hash, limit
from sftbench.engine.choices import choose_engine, subject_of
from sftbench.engine.clock import Clock
from sftbench.engine.runtime import seeded
from sftbench.engine.splits import CellData, SplitData
from sftbench.engine.workspace import Progress, Workspace
from sftbench.errors import RequestError
from sftbench.models.layout import to_device
from sftbench.models.model import Model
from sftbench.models.prefixes import Known
from sftbench.models.starting import StartWeights
from sftbench.plan import Cell
from sftbench.seeding import derive, numpy_generator
from sftbench.warm import Warm


@dataclass(slots=True)
class CellParts:
    """The components of one cell, and what is learned of them for the record."""

    backbone: Backbone
    dataset: Dataset
    variant: Variant
    strategy: Strategy
    task: Task
    metrics: tuple[Metric, ...]
    start: StartWeights
    hashes: dict[str, object]


def resolve(cell: Cell, warm: Warm) -> CellParts:
    """Build the components that a cell names.

    Raises:
        RequestError: One of them is not here.
    """
    catalog = warm.catalog
    task = cast(Task, catalog.create("task", cell.task))
    return CellParts(
        backbone=cast(Backbone, catalog.create("backbone", cell.backbone)),
        dataset=cast(Dataset, catalog.create("dataset", cell.dataset)),
        variant=cast(Variant, catalog.create("variant", cell.variant)),
        strategy=cast(Strategy, catalog.create("strategy", cell.strategy, cell.options)),
        task=task,
        metrics=tuple(cast(Metric, catalog.create("metric", name)) for name in task.metrics),
        start=StartWeights(cell.weights),
        hashes={},
    )


@dataclass(frozen=True, slots=True)
class Shared:
    """The backbone that the cells of one problem have in common: frozen, so that they can."""

    backbone: nn.Module
    start: StartWeights
    known: Known


def build_workspace(
    cell: Cell,
    parts: CellParts,
    warm: Warm,
    progress: Progress,
    shared: Shared | None = None,
    clock: Clock | None = None,
) -> Workspace:
    """Load the data, carve and thin it, build the model, and lay out the engine's workspace.

    Args:
        cell: The request.
        parts: From `resolve`; learns what the cell starts from, and the hashes of its data.
        warm: Of this process.
        progress: Is told how far the cell is.
        shared: What an earlier cell of the same problem brought; None: everything of its own.
        clock: Of that problem; None: one of its own.
    """
    clock = clock or Clock(warm.device)
    with clock.measure("setup"):
        protocol, seed = cell.protocol, cell.seed
        if shared is None:
            weights = parts.strategy.weights(cell.weights)
            size = int(protocol.image_size)
            network, parts.start, original = warm.network(parts.backbone, weights, size, seed)
            known = Known(network, original)
        else:
            network, parts.start, known = shared.backbone, shared.start, shared.known
        engine = choose_engine(warm.job, subject_of(cell, warm.device), network, protocol.precision)
        channels_last = engine.channels_last

        def split(dataset: Dataset, name: Split) -> SplitData:
            return warm.split(
                dataset, name, parts.task, parts.backbone, protocol, channels_last=channels_last
            )

        data = _cell_data(cell, parts, split(parts.dataset, "train"), split(parts.dataset, "test"))
        with seeded(warm.device, derive("head-init", seed, cell.dataset)):
            built = cast(Network, network)
            model = Model(network, parts.task.head_for(built, data.info, parts.start.head))
            ctx = _context(cell, parts, data, model, warm)
            torch.manual_seed(derive("adapt", seed, cell.dataset))
            model = parts.strategy.adapt(model, ctx)
            # It may have blocks of its own now, which its stages ask for.
            ctx.num_blocks = model.network.num_blocks
            ctx.block_names = model.network.block_names
            ctx.block_of = model.block_of
        to_device(model if shared is None else model.head, warm.device, channels_last=channels_last)
        if shared is None:
            known.begin(model.backbone, is_given=not parts.strategy.adapts)
    return Workspace(
        model=model,
        task=parts.task,
        strategy=parts.strategy,
        ctx=ctx,
        data=data,
        protocol=protocol,
        device=warm.device,
        clock=clock,
        features=warm.features,
        load_source=lambda name: split(
            cast(Dataset, warm.catalog.create("dataset", name)), "train"
        ),
        numpy_generator=lambda purpose, *more: numpy_generator(purpose, seed, cell.dataset, *more),
        progress=progress,
        structure=_structure(cell, known),
        known=known,
        engine=engine,
        forward=engine.forward(),
    )


def _structure(cell: Cell, known: Known) -> str:
    """Name the network and what its inputs are, and the strategy where it changed the network."""
    strategy = f"{cell.strategy}{sorted(cell.options.items())}{cell.version}"
    versions = cell.versions
    return " ".join(
        (
            f"{cell.backbone}:{versions['backbone']}",
            f"{cell.task}:{versions['task']}",
            "" if known.original is None else known.original.description,
            strategy if known.is_adapted else "",
        )
    )


def _cell_data(cell: Cell, parts: CellParts, train: SplitData, test: SplitData) -> CellData:
    """Limit, carve validation, then thin: in this order, each under a seed of its own."""
    protocol, seed, name = cell.protocol, cell.seed, cell.dataset
    info = parts.dataset.info()
    pool = np.arange(len(train.targets), dtype=np.int64)
    if protocol.limit_train is not None:
        pool = limited(train, protocol.limit_train, seed, name, "limit-train")
    kept, carved = carve_validation(
        train.targets[pool],
        protocol.validation_fraction,
        numpy_generator("split", seed, name),
        None if train.groups is None else train.groups[pool],
    )
    train_pool, val = pool[kept], pool[carved]
    if len(val) == 0 and protocol.selection == "validation":
        raise RequestError(
            f"validation_fraction {protocol.validation_fraction:g} of {len(pool)} training "
            'examples leaves none to select on; raise it, or set selection = "last"'
        )
    subset = parts.variant.apply(
        train.targets[train_pool],
        VariantContext(
            num_classes=info.num_classes,
            generator=lambda *keys: numpy_generator("variant", seed, name, *keys),
            class_counts=None if train.counts is None else train.counts[train_pool],
        ),
    )
    given = train.targets[train_pool[subset.indices]]
    if (train.has_truth or train.counts is not None) and not np.array_equal(subset.targets, given):
        raise RequestError(
            f"variant {cell.variant!r} gives examples other labels, which say nothing to task "
            f"{cell.task!r}; choose one that only leaves examples out"
        )
    if len(subset.indices) == 0:
        raise RequestError(f"variant {cell.variant!r} leaves no training example of {name!r}")
    chosen = train_pool[subset.indices]
    tested = np.arange(len(test.targets), dtype=np.int64)
    if protocol.limit_test is not None:
        # One test set for all seeds: methods and seeds are compared on the same examples.
        tested = limited(test, protocol.limit_test, 0, name, "limit-test")
    parts.hashes = {
        "train": train.key.partition(":")[0],
        "test": test.key.partition(":")[0],
        "train_indices": index_hash(chosen),
        "val_indices": index_hash(val),
        "test_indices": index_hash(tested),
        "before_variant": len(train_pool),
        "source": info.source,
        "unreadable": {"train": train.num_unreadable, "test": test.num_unreadable},
        **_notes(parts.task, train, test),
    }
    return CellData(
        info=info,
        train=train,
        test=test,
        train_indices=chosen,
        train_targets=subset.targets,
        val_indices=val,
        rest_indices=np.setdiff1d(pool, np.concatenate([chosen, val])),
        test_indices=tested,
    )


def _notes(task: Task, train: SplitData, test: SplitData) -> dict[str, object]:
    """Return what sources say of how examples were brought into their form, if anything."""
    notes = {"train": train.notes, "test": test.notes}
    found: dict[str, object] = {"notes": notes} if any(notes.values()) else {}
    # A report has the records alone, without the task.
    return found if task.units == Task.units else {**found, "units": list(task.units)}


def limited(
    split: SplitData, count: int | str, seed: int, dataset: str, purpose: str
) -> NDArray[np.int64]:
    """Return `count` stratified positions, or all where there are no more."""
    if int(count) >= len(split.targets):
        return np.arange(len(split.targets), dtype=np.int64)
    generator = numpy_generator(purpose, seed, dataset)
    return limit(split.targets, int(count), generator, split.groups)


def _context(
    cell: Cell, parts: CellParts, data: CellData, model: Model, warm: Warm
) -> StrategyContext:
    def generator(key: str) -> torch.Generator:
        made = torch.Generator()
        made.manual_seed(derive(key, cell.seed, cell.dataset))
        return made

    def model_of(backbone: Backbone) -> Model:
        weights = "none" if parts.start.effective == "none" else "pretrained"
        size = int(cell.protocol.image_size)
        network, start, _ = warm.network(backbone, weights, size, cell.seed)
        head = parts.task.head_for(cast(Network, network), data.info, start.head)
        return Model(network, head)

    sources: Mapping[str, Dataset] = {
        name: cast(Dataset, warm.catalog.create("dataset", name)) for name in parts.strategy.sources
    }
    return StrategyContext(
        info=data.info,
        protocol=cell.protocol,
        train_counts=data.train_counts,
        num_blocks=model.network.num_blocks,
        block_names=model.network.block_names,
        block_of=model.block_of,
        pretrained=parts.start.effective != "none",
        device=warm.device,
        generator=generator,
        source_head=parts.start.head,
        model_of=model_of,
        sources={name: dataset.info() for name, dataset in sources.items()},
    )
