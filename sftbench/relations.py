"""The store as relations: Arrow tables of cells, metrics, history, classes and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sftbench.contracts.task import Predictions
from sftbench.errors import RequestError, SftbenchError
from sftbench.plan import Cell, Plan, canonical
from sftbench.records import Record, import_source
from sftbench.store import Store, StoreScan

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_PREDICTION_BYTES = 4 << 30

Types = Mapping[str, type]
# What every relation has besides the id, so that few questions need a join.
_AXES: Types = {
    "cell_id": str,
    "backbone": str,
    "weights": str,
    "dataset": str,
    "variant": str,
    "strategy": str,
    "seed": int,
}
_TIMES = (
    "setup_seconds",
    "warmup_seconds",
    "compile_seconds",
    "data_wait_seconds",
    "train_seconds",
    "eval_seconds",
    "reliability_seconds",
    "total_seconds",
)
_COUNTS = (
    "parameters",
    "trainable",
    "shipped_bytes",
    "delta_bytes",
    "train_examples",
    "val_examples",
    "test_examples",
    "drawn_examples",
    "forward",
    "backward",
)
CELLS: Types = {
    **_AXES,
    "task": str,
    "options": str,
    "algorithm_version": int,
    "protocol": str,
    "protocol_digest": str,
    "is_planned": bool,
    "status": str,
    "attempt": int,
    "metric": str,
    "direction": str,
    "value": float,
    "val_value": float,
    "error": str,
    **dict.fromkeys(_TIMES, float),
    "examples_per_second": float,
    "shared_by_cells": int,
    "peak_device_bytes": int,
    "peak_rss_bytes": int,
    **dict.fromkeys(_COUNTS, int),
    "budget_factor": float,
    "imported_from": str,
    "started_at": str,
    "finished_at": str,
}
METRICS: Types = {
    **_AXES,
    "which": str,
    "split": str,
    "metric": str,
    "value": float,
    "is_primary": bool,
    "direction": str,
}
HISTORY: Types = {
    **_AXES,
    "row": int,
    "stage": str,
    "epoch": float,
    "step": int,
    "train_loss": float,
    "val_loss": float,
    "val_metric": float,
    "rate": float,
    "seconds": float,
}
PER_CLASS: Types = {
    **_AXES,
    "label": str,
    "train_count": int,
    "support": int,
    "recall": float,
    "score": float,
}
_PREDICTION_KEYS = ("split", "which")

ABOUT: Mapping[str, str] = {
    "cells": "a row for each cell, planned or recorded: its request, end, primary metric and cost",
    "metrics": "a row for each number: every split and metric, selected and last weights",
    "history": "a row for each evaluation during training",
    "per_class": "a row for each class of the test split (selected weights)",
    "predictions": "a row for each example of a split, with what the network put out",
}
"""The relations, and what a row of each is."""


def cells(plans: Sequence[Plan], scan: StoreScan) -> pa.Table:
    """Return every cell that a plan or a record names; one without a record is `missing`."""
    planned: dict[str, tuple[Cell, str | None]] = {}
    for plan in plans:
        planned |= {skip.cell.cell_id: (skip.cell, skip.reason) for skip in plan.skipped}
        planned |= {cell.cell_id: (cell, None) for cell in plan.cells}
    rows = []
    for cell_id, (cell, reason) in planned.items():
        record = scan.records.get(cell_id)
        empty = {"status": "missing" if reason is None else "skipped", "error": reason or ""}
        rows.append(_request(cell, is_planned=True) | (_end(record) if record else empty))
    rows += [
        _request(record.cell, is_planned=False) | _end(record)
        for record in scan.records.values()
        if record.cell_id not in planned
    ]
    return _table(rows, CELLS)


def metrics(records: Sequence[Record]) -> pa.Table:
    """Return every value of every metric."""

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            specs = {spec.name: spec for spec in record.metric_specs}
            for which, splits in record.metrics.items():
                for split, values in splits.items():
                    for name, value in values.items():
                        spec = specs.get(name)
                        yield _axes(record.cell) | {
                            "which": which,
                            "split": split,
                            "metric": name,
                            "value": value,
                            "is_primary": spec is not None and spec.primary,
                            "direction": spec.direction if spec else None,
                        }

    return _table(rows(), METRICS)


def history(records: Sequence[Record]) -> pa.Table:
    """Return every evaluation during training."""
    return _table(
        (
            _axes(record.cell) | {"row": number, **dict(row)}
            for record in records
            for number, row in enumerate(record.history)
        ),
        HISTORY,
    )


def per_class(records: Sequence[Record]) -> pa.Table:
    """Return the results by class."""
    return _table(
        (_axes(record.cell) | dict(one) for record in records for one in record.per_class),
        PER_CLASS,
    )


def predictions(records: Sequence[Record], store: Store) -> pa.Table:
    """Return the kept predictions, read and checked one record after another.

    Raises:
        RequestError: They are more than memory should hold.
    """
    import pyarrow as pa

    parts, num_bytes = [], 0
    for record in records:
        try:
            kept = store.predictions(record)
        except SftbenchError:
            continue  # the scan of the store names the file
        num_bytes += sum(one.outputs.nbytes for one in {id(p): p for p in kept.values()}.values())
        if num_bytes > _MOST_PREDICTION_BYTES:
            raise RequestError(
                f"the predictions of {store.path} take more than "
                f"{_MOST_PREDICTION_BYTES >> 30} GiB; ask for the other views, or split the store"
            )
        parts += [_predicted(record, key, one) for key, one in kept.items()]
    return pa.concat_tables(parts) if parts else prediction_schema().empty_table()


def prediction_schema() -> pa.Schema:
    """Return the columns of predictions."""
    import pyarrow as pa

    name = pa.dictionary(pa.int8(), pa.string())
    texts = [pa.field(one, name) for one, kind in _AXES.items() if kind is str]
    whole = [pa.field(one, pa.int64()) for one in ("seed", "index", "target")]
    outputs = pa.field("output", pa.list_(pa.float32()))
    return pa.schema([*texts, *(pa.field(one, name) for one in _PREDICTION_KEYS), *whole, outputs])


def relation(name: str, store: Store, plans: Sequence[Plan], scan: StoreScan) -> pa.Table:
    """Return the relation of that name.

    Args:
        name: One of `ABOUT`.
        store: Where predictions are read from.
        plans: Of the store.
        scan: Of the store.
    """
    records = list(scan.records.values())
    made: Mapping[str, Callable[[], pa.Table]] = {
        "cells": lambda: cells(plans, scan),
        "metrics": lambda: metrics(records),
        "history": lambda: history(records),
        "per_class": lambda: per_class(records),
        "predictions": lambda: predictions(records, store),
    }
    return made[name]()


def _axes(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in _AXES}


def _request(cell: Cell, *, is_planned: bool) -> dict[str, Any]:
    return _axes(cell) | {
        "task": cell.task,
        "options": canonical(cell.options),
        "algorithm_version": cell.version,
        "protocol": cell.protocol.name,
        "protocol_digest": cell.section[-1],
        "is_planned": is_planned,
    }


def _end(record: Record) -> dict[str, Any]:
    primary, error, memory = record.primary, record.error, record.memory
    return {
        "status": record.status,
        "attempt": record.attempt,
        "metric": primary.name if primary else None,
        "direction": primary.direction if primary else None,
        "value": record.value(primary.name) if primary else None,
        "val_value": record.value(primary.name, "val") if primary else None,
        "error": f"{error.type}: {error.message}" if error else "",
        **{name: getattr(record.timing, name) for name in _TIMES},
        "examples_per_second": record.timing.examples_per_second,
        "shared_by_cells": record.timing.shared_by_cells,
        "peak_device_bytes": memory.peak_device_bytes,
        "peak_rss_bytes": memory.peak_rss_bytes,
        **{name: getattr(record.counts, name) for name in _COUNTS},
        "budget_factor": record.counts.budget_factor,
        "imported_from": import_source(record),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }


def _table(rows: Any, types: Types) -> pa.Table:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    found = list(rows)
    columns = [pa.array([row.get(name) for row in found], kinds[t]) for name, t in types.items()]
    return pa.Table.from_arrays(columns, names=list(types))


def _predicted(record: Record, key: tuple[str, str], kept: Predictions) -> pa.Table:
    """Return one split's predictions; names are written once, and outputs are not copied."""
    import pyarrow as pa

    count, width = kept.outputs.shape
    once = pa.array(np.zeros(count, dtype=np.int8))
    axes = _axes(record.cell)
    texts = [axes[name] for name, kind in _AXES.items() if kind is str]
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    columns = [
        *(pa.DictionaryArray.from_arrays(once, pa.array([text])) for text in (*texts, *key)),
        pa.array(np.full(count, axes["seed"], dtype=np.int64)),
        pa.array(kept.index),
        pa.array(kept.targets),
        pa.ListArray.from_arrays(offsets, pa.array(kept.outputs.reshape(-1))),
    ]
    return pa.Table.from_arrays(columns, schema=prediction_schema())
