"""What the engine holds while it trains one cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sftbench.contracts.strategy import Strategy, StrategyContext
from sftbench.contracts.task import Task
from sftbench.data.rows import LazyRows
from sftbench.engine.choices import EngineChoice
from sftbench.engine.clock import Clock
from sftbench.engine.features import FeatureStore
from sftbench.engine.forward import Forward
from sftbench.engine.splits import CellData, SplitData
from sftbench.models.model import Model
from sftbench.protocol import Protocol
from sftbench.records import HistoryRow, StageInfo

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Is told stage, steps done, steps in all, and values worth showing."""


@dataclass(slots=True)
class Work:
    """Counts of work, in examples."""

    drawn: int = 0
    forward: int = 0
    backward: int = 0
    unlabelled: int = 0
    source: int = 0
    validations: int = 0


@dataclass(slots=True, kw_only=True)
class Workspace:
    """One cell in the making.

    `structure` names what the model is besides its tensors. `progress(stage, done, total, values)`
    tells how far it is. `engine` says how passes are run; those of training go through
    `forward(model, inputs, k)`.
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
    engine: EngineChoice
    forward: Forward
    initial: Mapping[str, Tensor] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    history: list[HistoryRow] = field(default_factory=list)
    stages: list[StageInfo] = field(default_factory=list)

    def feature_rows(self, model: Model, split: SplitData, k: int) -> LazyRows | None:
        """Return the outputs of the first k blocks on a split; None where they do not fit."""
        if self.task.num_views != 1:
            return None
        return self.features.rows(
            model, split, k, self.protocol.precision, structure=self.structure
        )
