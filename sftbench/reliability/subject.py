"""A trained cell as the measures see it, and what they find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sftbench.assembly import CellParts, limited
from sftbench.contracts.backbone import Network
from sftbench.contracts.dataset import Dataset, Split
from sftbench.contracts.task import Predictions, Task
from sftbench.engine.splits import SplitData
from sftbench.engine.training import Trained
from sftbench.engine.workspace import Workspace
from sftbench.models.layout import to_device
from sftbench.models.model import Model
from sftbench.plan import Cell
from sftbench.records import Values
from sftbench.warm import Warm


@dataclass(slots=True)
class Found:
    """What measures add to a record.

    Attributes:
        values: By the name of a split and of a metric.
        kept: Predictions on other data, by split.
        remarks: Why something was not measured.
    """

    values: dict[str, Values] = field(default_factory=dict)
    kept: dict[str, Predictions] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def missing(self, measure: str, why: str) -> None:
        """Note that a measure has no value, and why."""
        self.remarks.append(f"{measure} not measured: {why}")


@dataclass(frozen=True, slots=True)
class Subject:
    """A cell whose training is over, with its selected model."""

    cell: Cell
    parts: CellParts
    ws: Workspace
    warm: Warm
    trained: Trained

    @property
    def model(self) -> Model:
        """The selected model."""
        return self.trained.model

    def dataset(self, reference: str) -> Dataset:
        """Return a data set by its reference."""
        return cast(Dataset, self.warm.catalog.create("dataset", reference))

    def split(self, dataset: Dataset, name: Split, task: Task | None = None) -> SplitData:
        """Return a split of any data set, preprocessed as the cell's own."""
        return self.warm.split(
            dataset,
            name,
            task or self.parts.task,
            self.parts.backbone,
            self.ws.protocol,
            channels_last=self.ws.engine.channels_last,
        )

    def some(
        self, split: SplitData, most: int | None, dataset: str, purpose: str
    ) -> NDArray[np.int64]:
        """Return at most so many positions in a split, the same for all cells of a data set."""
        most = len(split.targets) if most is None else most
        return limited(split, most, 0, dataset, purpose)

    def network(self, weights: str, seed: int) -> nn.Module:
        """Return a network of the cell's backbone on the cell's device, laid out as the cell's.

        Args:
            weights: What it starts from.
            seed: Decides random ones.
        """
        size = int(self.ws.protocol.image_size)
        network, _, _ = self.warm.network(self.parts.backbone, weights, size, seed)
        last = self.ws.engine.channels_last
        return to_device(network, self.ws.device, channels_last=last).eval()

    def started_from(self) -> nn.Module:
        """Return the backbone as the cell began with it."""
        return self.network(self.parts.strategy.weights(self.cell.weights), self.cell.seed)

    def head_for(self, network: nn.Module) -> nn.Module:
        """Return a new head of the cell's task for a network, under torch's global generator."""
        head = self.parts.task.head_for(cast(Network, network), self.ws.data.info, None)
        return head.to(self.ws.device).eval()
