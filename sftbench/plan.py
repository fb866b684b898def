"""A plan: the finite list of cells, made before anything runs. Pure, without torch."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sftbench.options import Listed
from sftbench.protocol import Protocol

_MOST_SEED = 2**63 - 1  # the largest in a column of 64 bits
_MOST_VERSION = 2**31 - 1


class Cell(BaseModel):
    """One cell, as it is requested: everything that decides its result, and nothing else.

    `options` holds the strategy's own options in full. `versions` holds the `algorithm_version`
    of each component (`strategy:full` -> 1). `protocol` is resolved: no value is `auto`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    weights: str
    dataset: str
    variant: str
    strategy: str
    seed: int = Field(ge=0, le=_MOST_SEED)
    task: str
    options: dict[str, Any]
    protocol: Protocol
    versions: dict[str, Annotated[int, Field(ge=0, le=_MOST_VERSION)]]

    @property
    def cell_id(self) -> str:
        """Short hash of the canonical request: 16 hexadecimal digits."""
        return digest(self.model_dump(mode="json"))

    @property
    def group(self) -> tuple[str, ...]:
        """What the seeds of one row share: section, strategy, options."""
        return (*self.section, self.strategy, canonical(self.options), str(self.version))

    @property
    def section(self) -> tuple[str, ...]:
        """What strategies are compared within: backbone, weights, data, variant, protocol."""
        protocol = digest(self.protocol.model_dump(mode="json"))
        return (self.backbone, self.weights, self.dataset, self.variant, protocol)

    @property
    def version(self) -> int:
        """The strategy's algorithm version."""
        return self.versions.get("strategy", 1)

    @property
    def title(self) -> str:
        """A line for people: `tf_efficientnet_lite0 full on fashion-mnist-mini/balanced seed 0`."""
        return f"{self.backbone} {self.strategy} on {self.dataset}/{self.variant} seed {self.seed}"


class Skip(BaseModel):
    """A combination that is not run, and why: it stands in the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    reason: str


class Plan(BaseModel):
    """Cells to run, combinations skipped with a reason, and what they are compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: Listed[Cell]
    skipped: Listed[Skip] = ()
    baseline: str = "head-only"
    criteria: dict[str, float] = {}

    @property
    def plan_id(self) -> str:
        """Short hash over the sorted ids, so the order of a plan does not matter."""
        ids = sorted(cell.cell_id for cell in self.cells)
        reasons = sorted([skip.cell.cell_id, skip.reason] for skip in self.skipped)
        return digest([ids, reasons, self.baseline, self.criteria])

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """Cells to run and cells skipped."""
        return (*self.cells, *(skip.cell for skip in self.skipped))


def canonical(value: object) -> str:
    """Return JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of `canonical(value)`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]
