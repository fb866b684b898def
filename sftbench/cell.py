"""One cell, from request to record: the recipe, top to bottom."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from sftbench import cache
from sftbench.assembly import CellParts, build_workspace, resolve
from sftbench.contracts.dataset import Dataset
from sftbench.contracts.strategy import Strategy
from sftbench.contracts.task import Metric, MetricInput, Predictions
from sftbench.engine.runtime import products_in
from sftbench.engine.training import Fitted, Outputs, Trained, finish, train
from sftbench.engine.workspace import Progress, Workspace
from sftbench.errors import DivergedError, RequestError, UnavailableError
from sftbench.models.freezing import stored_bytes
from sftbench.models.model import Model
from sftbench.models.weight_files import save_tensors
from sftbench.names import cause
from sftbench.plan import Cell
from sftbench.pretraining import keep_record, pretrained_weights, pretraining_cell
from sftbench.provenance import git, hardware, versions
from sftbench.records import Counts, Failure, MetricSpec, Record, Status, Values, now
from sftbench.reliability.measuring import measure
from sftbench.tuning import search
from sftbench.warm import Warm
from sftbench.weights import KEY_LENGTH, WEIGHTS_FILE, parse_weights

Kept = dict[tuple[str, str], Predictions]
_MAX_TRACEBACK = 20_000
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@dataclass(slots=True)
class Draft:
    """What is known of a cell so far; it becomes the record, whatever the end.

    `keep` is shown the trained model.
    """

    started_at: str
    ws: Workspace | None = None
    keep: Callable[[Model], None] | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def run_cell(cell: Cell, warm: Warm, progress: Progress, draft: Draft) -> Kept:
    """Train, select and test one cell; fill in the draft.

    Returns:
        Predictions by split and which.

    Raises:
        Exception: Whatever went wrong; `run_cell_safely` makes a status of it.
    """
    parts = resolve(cell, warm)
    pretrain_first(cell, parts, warm, progress)
    if cell.protocol.tune:
        parts, trained = _tuned(cell, parts.strategy, warm, progress, draft)
    else:
        draft.ws = ws = build_workspace(cell, parts, warm, progress)
        draft.fields["provenance"] = provenance_of(cell, parts, warm, ws)
        trained = train(ws)
    if draft.keep is not None:
        draft.keep(trained.model)
    return describe(cell, parts, warm, draft, trained)


def _tuned(
    cell: Cell, strategy: Strategy, warm: Warm, progress: Progress, draft: Draft
) -> tuple[CellParts, Trained]:
    """Search the cell's settings on validation, and finish the best alone."""

    def seen(ws: Workspace) -> None:
        draft.ws = ws

    best, draft.fields["search"] = search(cell, strategy, warm, progress, seen)
    draft.ws = best.ws
    draft.fields["provenance"] = provenance_of(cell, best.parts, warm, best.ws)
    if isinstance(best.end, Fitted):
        return best.parts, finish(best.ws, best.end)
    assert best.end is not None  # noqa: S101 - the winner is never let go of
    raise best.end


def describe(cell: Cell, parts: CellParts, warm: Warm, draft: Draft, trained: Trained) -> Kept:
    """Fill in the draft with what came out; return the predictions by split and which."""
    ws = draft.ws
    assert ws is not None  # noqa: S101 - something was trained in it
    with ws.clock.measure("eval"):
        specs, metrics = _metrics(parts, ws, trained)
    draft.fields |= {
        "metric_specs": specs,
        "metrics": metrics,
        "per_class": parts.task.per_class(
            trained.selected.test, ws.data.info, ws.data.train_counts
        ),
        "counts": _counts(ws, trained),
        "measures": dict(ws.ctx.measures),
        # What is measured besides is no part of what the method needs.
        "memory": draft.fields.get("memory") or ws.clock.memory(),
    }
    found = measure(cell, parts, ws, warm, trained)
    metrics["selected"] |= found.values
    draft.fields["remarks"] = (*ws.ctx.remarks, *found.remarks)
    return _kept(trained) | {(split, "selected"): kept for split, kept in found.kept.items()}


def run_cell_safely(
    cell: Cell, warm: Warm, progress: Progress, *, keep: Callable[[Model], None] | None = None
) -> tuple[Record, Kept | None]:
    """Run one cell and return its record (attempt, predictions and checksum not yet filled in).

    `keep` is shown the trained model, where training ended well.

    Any exception becomes a status: out of memory, diverged, or failed with its traceback; so does
    SystemExit. Memory is let go before the next cell. KeyboardInterrupt alone passes through.
    """
    draft = Draft(started_at=now(), keep=keep)
    kept: Kept | None = None
    try:
        with products_in(warm.device, cell.protocol.precision):
            kept = run_cell(cell, warm, progress, draft)
        record = record_of(cell, draft, "ok", None)
    except KeyboardInterrupt:
        raise
    except BaseException as caught:  # noqa: BLE001 - the executor's promise: every end is a record
        kept = None
        # What a metric returned may be what went wrong.
        draft.fields = {
            key: draft.fields[key] for key in draft.fields.keys() & {"provenance", "search"}
        }
        record = record_of(cell, draft, _status(caught), failure_of(caught))
    # The exception and the draft hold the model's memory; both are gone before the cache is.
    if draft.ws is not None:
        draft.ws.ctx.validate = None  # it holds the workspace that holds it
    draft.ws = None
    if record.status != "ok":
        gc.collect()  # what an exception passed through may hold itself, too
    if record.status == "out_of_memory":
        warm.forget_splits()
    warm.release()
    return record, kept


def pretrain(first: Cell, warm: Warm, progress: Progress) -> Path:
    """Run the first of two stages, once for all processes, and keep its weights with its record.

    Args:
        first: Made by `sftbench.pretraining.pretraining_cell`.
        warm: Of this process.
        progress: Is told how far it is.

    Returns:
        The folder of `weights.safetensors` and `record.json` in the cache.

    Raises:
        RequestError: What was asked for cannot be trained.
        UnavailableError: Training did not end well.
    """
    trained: dict[str, torch.Tensor] = {}

    def keep(model: Model) -> None:
        # A head that is more than one layer (a projection) belongs to its objective alone.
        head = {"head": model.head} if isinstance(model.head, torch.nn.Linear) else {}
        for prefix, part in {"": model.backbone, **head}.items():
            for name, tensor in part.state_dict(prefix=f"{prefix}." if prefix else "").items():
                trained[name] = tensor.detach().cpu()

    def build(folder: Path) -> str:
        record, _ = run_cell_safely(first, warm, progress, keep=keep)
        if record.status != "ok" or record.primary is None:
            why = f": {record.error.message}" if record.error else ""
            asked = record.error is not None and record.error.type == RequestError.__name__
            raise (RequestError if asked else UnavailableError)(
                f"pretraining {first.title} ended as {record.status}{why}"
            )
        score = record.value(record.primary.name, "val" if record.counts.val_examples else "test")
        origin = (
            f"sftbench pretrain: {first.backbone} on {first.dataset}, "
            f"{first.protocol.epochs:g} epochs, {record.primary.name} {score:.3f}"
        )
        notes = {"origin": origin, "source": first.dataset, "cell_id": first.cell_id}
        save_tensors(trained, folder / WEIGHTS_FILE, notes)
        keep_record(folder, record)
        return origin

    return cache.fill("pretrained", first.cell_id[:KEY_LENGTH], build)


def pretrain_first(cell: Cell, parts: CellParts, warm: Warm, progress: Progress) -> None:
    """Make the weights that a cell starts from, where the default pretraining makes them."""
    text = parts.strategy.weights(cell.weights)
    reference = parse_weights(text)
    if reference.kind != "pretrain" or cache.find("pretrained", reference.key):
        return
    source = cast(Dataset, warm.catalog.create("dataset", reference.name))
    first = pretraining_cell(parts.backbone, source, warm.catalog, cell.protocol.precision)
    if pretrained_weights(first) == text:
        pretrain(first, warm, progress)


def record_of(cell: Cell, draft: Draft, status: Status, error: Failure | None) -> Record:
    """Return the record of a draft (attempt, predictions and checksum not yet filled in)."""
    fields = draft.fields
    if draft.ws is not None:
        ws = draft.ws
        fields |= {
            "history": tuple(row for row in ws.history if np.isfinite(row.train_loss or 0.0)),
            "stages": tuple(ws.stages),
            "timing": ws.clock.timing(ws.work.drawn, ws.work.warmup),
            "memory": fields.get("memory") or ws.clock.memory(),
        }
        if "provenance" in fields:
            fields["provenance"]["engine"] = ws.engine.told(ws.forward)
    return Record(
        cell_id=cell.cell_id,
        attempt=1,
        cell=cell,
        status=status,
        error=error,
        started_at=draft.started_at,
        finished_at=now(),
        **fields,
    )


def _metrics(
    parts: CellParts, ws: Workspace, trained: Trained
) -> tuple[tuple[MetricSpec, ...], dict[str, dict[str, Values]]]:
    """Compute every metric of the task on every split, for selected and last.

    Of training examples (split `train`, selected weights) there is the primary one alone.
    """
    info, counts = ws.data.info, ws.data.train_counts
    specs = tuple(
        metric.spec(info).model_copy(update={"primary": number == 0})
        for number, metric in enumerate(parts.metrics)
    )

    def values(
        predictions: Predictions,
        validation: Predictions | None,
        metrics: Sequence[Metric] = parts.metrics,
    ) -> Values:
        data = MetricInput(
            predictions=predictions,
            num_classes=info.num_classes,
            train_counts=counts,
            validation=validation,
        )
        return {metric.name: metric.compute(data) for metric in metrics}

    def splits(outputs: Outputs) -> dict[str, Values]:
        val = outputs.val
        found = {"test": values(outputs.test, val)}
        return found if val is None else {"val": values(val, val), **found}

    selected = splits(trained.selected)
    last = dict(selected) if trained.last is trained.selected else splits(trained.last)
    if trained.seen is not None:
        seen = values(trained.seen, trained.selected.val, parts.metrics[:1])
        selected = {"train": seen, **selected}
    return specs, {"selected": selected, "last": last}


def _kept(trained: Trained) -> Kept:
    kept: Kept = {}
    for which, outputs in (("selected", trained.selected), ("last", trained.last)):
        kept["test", which] = outputs.test
        if outputs.val is not None:
            kept["val", which] = outputs.val
    return kept


def _counts(ws: Workspace, trained: Trained) -> Counts:
    parameters = [p for _, p in trained.model.named_parameters()]
    moved = max((stage.trainable for stage in ws.stages), default=0)
    state = trained.model.state_dict().values()
    return Counts(
        parameters=sum(p.numel() for p in parameters),
        trainable=moved,
        shipped_bytes=sum(stored_bytes(tensor) for tensor in state),
        delta_bytes=ws.known.changed_bytes(trained.model),
        train_examples=len(ws.data.train_indices),
        val_examples=len(ws.data.val_indices),
        test_examples=len(ws.data.test_indices),
        unlabelled_examples=ws.work.unlabelled,
        source_examples=ws.work.source,
        drawn_examples=ws.work.drawn,
        forward=ws.work.forward,
        backward=ws.work.backward,
        prefix_forward=ws.work.prefix_forward,
        validations=ws.work.validations,
        budget_factor=ws.strategy.budget_factor,
    )


def provenance_of(cell: Cell, parts: CellParts, warm: Warm, ws: Workspace) -> dict[str, Any]:
    """Return where and with what a cell runs."""
    owners = {
        kind: warm.catalog.owner(cast(Any, kind), name.partition(":")[0])[1].label
        for kind, name in (
            ("backbone", cell.backbone),
            ("dataset", cell.dataset),
            ("variant", cell.variant),
            ("strategy", cell.strategy),
            ("task", cell.task),
        )
    }
    start = parts.start
    return {
        "versions": versions(),
        "plugins": owners,
        "git": git(),
        "hardware": {**hardware(warm.job.device), "threads": torch.get_num_threads()},
        "deterministic": warm.job.deterministic,
        "weights": {
            "requested": cell.weights,
            "effective": start.effective,
            "digest": start.digest,
            "origin": start.origin,
            **({"dropped_head": start.dropped_head} if start.dropped_head else {}),
        },
        "data": parts.hashes,
        "placement": {"train": ws.data.train.placement, "test": ws.data.test.placement},
    }


def _status(error: BaseException) -> Status:
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out_of_memory"
    # Torch's allocator for the CPU, and libraries on a GPU, raise a plain RuntimeError.
    is_memory = isinstance(error, RuntimeError) and any(sign in cause(error) for sign in _NO_MEMORY)
    return "out_of_memory" if is_memory else "failed"


def failure_of(error: BaseException) -> Failure:
    """Return what a record says of an exception."""
    name = type(error).__name__
    if isinstance(error, DivergedError):
        return Failure(type=name, message=str(error))
    text = "".join(traceback.format_exception(error))
    message = cause(error).removeprefix(name).removeprefix(": ")
    return Failure(type=name, message=message, traceback=text[-_MAX_TRACEBACK:])
