"""Patterns that a tiny network learns in a second, and the table of the cells that did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from support.workspaces import make_cell
from torch import Tensor, nn

from sftbench.api import Cell, DatasetInfo, Examples, Model, PretrainedWeights, Record, Split
from sftbench.cell import run_cell_safely
from sftbench.models.freezing import state_digest
from sftbench.plan import Plan
from sftbench.report.aggregate import Row
from sftbench.results import Results
from sftbench.store import Store
from sftbench.testing import TinyBackbone, TinyImages
from sftbench.warm import Warm


def rates(rate: float, **others: float) -> dict[str, float]:
    """Return one peak rate for whatever trains, but for `others`."""
    return dict.fromkeys(("head_alone", "head", "backbone", "scratch"), rate) | others


class Patterns(TinyImages):
    """Four patterns under noise, 480 + 160 images, which a tiny network learns in a second."""

    name = "tiny-patterns"
    share: ClassVar[float] = 0.5
    which: ClassVar[int] = 0

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            name=self.name,
            class_names=("a", "b", "c", "d"),
            num_train=480,
            num_test=160,
            image_size=12,
        )

    def load(self, split: Split, image_size: int) -> Examples:
        size, seed = (480, 1) if split == "train" else (160, 2)
        patterns = np.random.default_rng(self.which).integers(0, 256, (4, 12, 12, 3))
        generator = np.random.default_rng(self.which + seed)
        targets = generator.permutation(np.arange(size, dtype=np.int64) % 4)
        noise = generator.integers(0, 256, (size, 12, 12, 3))
        images = self.share * patterns[targets] + (1 - self.share) * noise
        return Examples(images.astype(np.uint8), targets)


class FaintPatterns(Patterns):
    """The same, so faint that a few images do not tell what is pattern and what is noise."""

    name = "faint-patterns"
    share = 0.2


class OtherPatterns(Patterns):
    """Four other patterns."""

    name = "other-patterns"
    which = 100


class Trained(TinyBackbone):
    """Its weights were trained on the patterns."""

    name = "trained-convnet"
    state: ClassVar[dict[str, Tensor]] = {}

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        return PretrainedWeights(
            state=self.state, head=None, digest=state_digest(self.state.items()), origin="here"
        )


def train_backbone(warm: Warm) -> Iterator[Warm]:
    """Train the weights of `Trained`, for as long as the generator lives."""
    cell = make_cell(warm, "full", dataset="tiny-patterns", epochs=4, rates=rates(1e-2))

    def keep(model: Model) -> None:
        Trained.state = {name: t.clone() for name, t in model.backbone.state_dict().items()}

    record, _ = run_cell_safely(cell, warm, lambda *_: None, keep=keep)
    assert record.value("accuracy") == 1.0
    yield warm
    Trained.state = {}


def table(
    out: Path, warm: Warm, cells: list[Cell], baseline: str = "head-only"
) -> tuple[Mapping[str, Row], list[Record]]:
    """Run cells, store them, and return the rows of their table by label, and the records."""
    store = Store(out)
    store.add_plan(Plan(cells=tuple(cells), baseline=baseline))
    for cell in cells:
        store.write(*run_cell_safely(cell, warm, lambda *_: None))
    results = Results(out, catalog=warm.catalog)
    assert results.problems == ()
    (section,) = results.table.sections
    return {row.label: row for row in section.rows}, results.records


def told(row: Row) -> dict[str, str]:
    """Return the evidence of each reason that holds for a row."""
    return {finding.reason: finding.text for finding in row.verdict.reasons}
