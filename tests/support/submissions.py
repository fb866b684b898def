"""Honest results of a few cells, and bundles that a forger changed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.records import make_cell, make_predictions, make_record

from sftbench.api import DatasetInfo, MetricInput, Predictions
from sftbench.builtin.metrics.hits import Accuracy
from sftbench.builtin.metrics.probabilities import Nll
from sftbench.builtin.tasks.image_classification import ImageClassification
from sftbench.data.splits import index_hash
from sftbench.plan import Cell, Plan
from sftbench.records import Counts, Record
from sftbench.store import Store

CLASSES = 3
VERSIONS = {
    "python": "3.11.7",
    "sftbench": "0.1.0",
    "torch": "2.11.0+cpu",
    "torchvision": "0.26",
    "timm": "1.0.20",
    "numpy": "2.0.0",
}
Change = Callable[[dict[str, Any]], object]


def honest(cell: Cell, rows: int = 12) -> tuple[Record, dict[tuple[str, str], Predictions]]:
    """Return a record whose every number follows from its predictions."""
    tested = make_predictions(rows, CLASSES, seed=1)
    # One test set for all cells, other outputs for each.
    noise = np.random.default_rng(int(cell.cell_id[:8], 16)).standard_normal((rows, CLASSES))
    tested = Predictions(tested.index, tested.targets, noise.astype(np.float32))
    val = make_predictions(4, CLASSES, seed=cell.seed)
    outputs = {("test", "selected"): tested, ("val", "selected"): val}
    info = DatasetInfo(
        name=cell.dataset, class_names=("one", "two", "three"), num_train=9, num_test=rows
    )
    counts = np.array([3, 3, 3])
    metrics = (Accuracy(), Nll())

    def values(kept: Predictions) -> dict[str, float]:
        data = MetricInput(predictions=kept, num_classes=CLASSES, train_counts=counts)
        return {metric.name: metric.compute(data) for metric in metrics}

    specs = tuple(
        metric.spec(info).model_copy(update={"primary": number == 0})
        for number, metric in enumerate(metrics)
    )
    record = make_record(
        cell,
        metric_specs=specs,
        metrics={"selected": {"test": values(tested), "val": values(val)}},
        per_class=ImageClassification().per_class(tested, info, counts),
        counts=Counts(train_examples=9, val_examples=4, test_examples=rows),
        provenance={
            "versions": VERSIONS,
            "plugins": {"strategy": "sftbench 0.1.0"},
            "data": {
                "train": "0" * 16,
                "test": "1" * 16,
                "train_indices": "2" * 16,
                "val_indices": index_hash(val.index),
                "test_indices": index_hash(tested.index),
            },
        },
    )
    return record, outputs


def cells(seeds: int = 2, **changes: Any) -> list[Cell]:
    """Return the cells of a tiny plan."""
    return [
        make_cell(strategy=strategy, seed=seed, versions={"strategy": 1, "task": 1}, **changes)
        for strategy in ("head-only", "full")
        for seed in range(seeds)
    ]


def fill(store: Store, wanted: list[Cell]) -> Store:
    """Write the records of cells, and their plan."""
    for cell in wanted:
        store.write(*honest(cell))
    store.add_plan(Plan(cells=tuple(wanted)))
    return store


def contents(bundle: Path) -> dict[str, bytes]:
    """Return the members of a bundle but its manifest, in order."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()[1:]}


def rebuilt(bundle: Path, members: Mapping[str, bytes], **manifest: Any) -> Path:
    """Write a bundle with a manifest that fits, as a forger would."""
    listed = [
        {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
    ]
    document = {"sftbench": "0.1.0", "members": listed, **manifest}
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(document))
        for name, content in members.items():
            archive.writestr(name, content)
    return bundle


def forged(bundle: Path, change: Change, name: str | None = None) -> Path:
    """Change a record (the first, where none is named), give it the ids and checksum that fit."""
    members = contents(bundle)
    name = name or next(one for one in members if one.endswith(".json"))
    document = json.loads(members.pop(name))
    change(document)
    record = Record.model_validate(document)
    record = record.model_copy(update={"cell_id": record.cell.cell_id}).sealed()
    place = f"cells/{record.cell_id}"
    members[f"{place}/attempt-1.json"] = record.model_dump_json().encode()
    old = f"{name[:-4]}parquet"
    if f"{place}/attempt-1.parquet" != old:
        members[f"{place}/attempt-1.parquet"] = members.pop(old)
    return rebuilt(bundle, members)
