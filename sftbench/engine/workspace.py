"""What the engine holds while it trains one cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftbench.contracts.strategy import Strategy, StrategyContext
from sftbench.contracts.task import Task
from sftbench.engine.choices import EngineChoice
from sftbench.engine.clock import Clock
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.features import FeatureStore, Prefix
from sftbench.engine.forward import Forward
from sftbench.engine.splits import CellData, SplitData
from sftbench.models.model import Model
from sftbench.models.prefixes import Known
from sftbench.protocol import Protocol
from sftbench.records import HistoryRow, StageInfo

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Is told stage, steps done, steps in all, and values worth showing."""


@dataclass(slots=True)
class Work:
    """Counts of work, in examples; `warmup` are those drawn in the first step of each stage."""

    drawn: int = 0
    warmup: int = 0
    forward: int = 0
    backward: int = 0
    prefix_forward: int = 0
    unlabelled: int = 0
    source: int = 0
    validations: int = 0


@dataclass(slots=True, kw_only=True)
class Workspace:
    """One cell in the making.

    `structure` names what the model is besides its tensors, and `known` holds what is known of
    them. `progress(stage, done, total, values)` tells how far it is. `engine` says how passes are
    run; those of training go through `forward(model, inputs, k)`.
    """

    model: Model
    task: Task
    strategy: Strategy
    ctx: StrategyContext
    data: CellData
    protocol: Protocol
    device: torch.device
    clock: Clock
    features: FeatureStore
    load_source: Callable[[str], SplitData]
    numpy_generator: Callable[..., np.random.Generator]
    progress: Progress
    structure: str
    known: Known
    engine: EngineChoice
    forward: Forward
    initial: Mapping[str, Tensor] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    history: list[HistoryRow] = field(default_factory=list)
    stages: list[StageInfo] = field(default_factory=list)

    def feature_rows(
        self,
        model: Model,
        split: SplitData,
        k: int,
        wanted: NDArray[np.int64] | None = None,
        *,
        on_disk: bool = True,
    ) -> FeatureRows | None:
        """Return the outputs of the first k blocks on a split.

        Args:
            model: The cell's, or one made of it.
            split: Of the data.
            k: 1 to num_blocks.
            wanted: int64 [n], the rows that will be asked for, which are brought at once.
            on_disk: Whether they may be looked for and kept on the disk.

        Returns:
            None where they do not fit, or are not those of one plain view of each example.
        """
        if self.task.num_views != 1 or not self.known.is_as_it_was(model):
            return None
        digest, is_original = self.known.digest(model, k)
        is_shared = on_disk and is_original and not self.known.is_adapted
        prefix = Prefix(
            model=model,
            split=split,
            k=k,
            precision=self.protocol.precision,
            digest=digest,
            structure=self.structure,
            # Weights trained inside a cell are of no use to others.
            title=self._title(split, k) if is_shared else "",
            count=self._count_prefix,
        )
        return self.features.rows(prefix, None if wanted is None else torch.from_numpy(wanted))

    def _title(self, split: SplitData, k: int) -> str:
        """Return a line about the features, for people."""
        part = "train" if split is self.data.train else "test"
        size, precision = self.protocol.image_size, self.protocol.precision
        backbone, data = self.structure.partition(":")[0], self.data.info.name
        return f"{backbone} on {data} {part}, {k} blocks, {size} pixels, {precision}"

    def _count_prefix(self, num: int) -> None:
        self.work.prefix_forward += num
