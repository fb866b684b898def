"""Executors and trackers: where cells run, and who is told about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sftbench.contracts.component import Component
from sftbench.plan import Cell, Plan
from sftbench.records import Record

Placement = Literal["auto", "device", "stream"]
"""Where training data is: whole on the device, read ahead in batches, or what fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How the cells of a plan run; plain data that another process can receive.

    Attributes:
        out: Folder of the store.
        devices: `cpu`, `cuda:0`, `cuda:1`, `mps`; workers are dealt over them.
        jobs: Workers at a time; None: chosen for the machine.
        timeout: Seconds for one cell, or None.
        deterministic: Same bits for the same cell on the same machine.
        memory_format: Of networks with convolutions; `auto`: as a cached probe of this machine
            says, else by a rule of thumb.
        compile: Whether networks are compiled before they train; `auto`: where a probe says that
            it pays for the steps ahead.
        steps_ahead: Training steps that a worker has ahead of it, by what trains
            (`Subject.shape`); filled in before a run.
        plugins: Value of SFTBENCH_PLUGINS in the workers, or None for every plugin.
        placement: Where training data is; it changes no result.
    """

    out: Path
    devices: tuple[str, ...] = ("cpu",)
    jobs: int | None = None
    timeout: float | None = None
    deterministic: bool = False
    memory_format: Literal["auto", "channels-last", "contiguous"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    steps_ahead: Mapping[str, int] = field(default_factory=dict)
    plugins: str | None = None
    placement: Placement = "auto"

    @property
    def device(self) -> str:
        """The device of a worker, whose job names one."""
        return self.devices[0]


@dataclass(frozen=True, slots=True)
class CellStarted:
    """A worker took a cell."""

    cell: Cell
    worker: int


@dataclass(frozen=True, slots=True)
class CellProgress:
    """A cell went on: `done` of `total` steps, in the stage `stage`."""

    cell_id: str
    stage: str
    done: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CellFinished:
    """A record was written."""

    record: Record


Event = CellStarted | CellProgress | CellFinished


class Executor(Component, ABC):
    """Runs cells somewhere. Whatever happens to a cell, it leaves a record in the store."""

    @abstractmethod
    def run(self, cells: Sequence[Cell], job: Job, emit: Callable[[Event], None]) -> None:
        """Run every cell and return when each has a record.

        Use `sftbench.api.run_cell_safely` inside a worker: it turns exceptions into records.

        Raises:
            KeyboardInterrupt: The user stopped; cells in flight have `interrupted` records.
        """


class Tracker(Component, ABC):
    """Is told what happens, in the process that started the run. Its errors stop nothing."""

    @abstractmethod
    def start(self, plan: Plan, job: Job) -> None:
        """Take note of the plan; called once, before the first cell."""

    @abstractmethod
    def event(self, event: Event) -> None:
        """Take note of an event; called for each, in order of arrival."""

    def close(self) -> None:
        """Finish; called once, also after an interruption."""
        return
