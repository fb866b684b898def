"""Many stores, read record by record into what a leaderboard needs of each. No torch.

A record is checked as any reader of a store checks it, and let go at once: a hundred thousand of
them stay small. Where there are many, two processes share the work.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from sftbench.attempts import read_plan
from sftbench.errors import RecordError, RequestError
from sftbench.names import one_line
from sftbench.plan import Cell, canonical, digest
from sftbench.progress import Progress, silent
from sftbench.records import Record
from sftbench.store import Problem, Store

_PROCESSES = 2
_BATCH = 500
# Fewer are read before a second process has started.
_LEAST_SHARED = 3_000

_Each = Callable[[Callable[[Sequence[Path]], Any], list[Sequence[Path]]], Any]


class Facts(NamedTuple):
    """What a cell is, as far as a leaderboard tells cells apart.

    `sizeless_digest` is of the protocol without its image size, which follows from the backbone.
    """

    task: str
    dataset: str
    variant: str
    backbone: str
    weights: str
    protocol: str
    protocol_digest: str
    sizeless_digest: str
    image_size: int
    strategy: str
    options: str
    version: int
    seed: int

    @property
    def section(self) -> tuple[str, ...]:
        """What strategies are compared within."""
        names = (self.task, self.dataset, self.variant, self.backbone, self.weights)
        return (*names, self.protocol_digest)

    @property
    def method(self) -> tuple[str, str, int]:
        """The strategy with its options and version."""
        return (self.strategy, self.options, self.version)


class Run(NamedTuple):
    """One cell's latest record: how it ended and the primary metric on test, selected weights."""

    cell_id: str
    facts: Facts
    status: str
    metric: str
    direction: str
    low: float
    high: float | None
    value: float | None
    seconds: float
    trainable: int
    packages: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Collected:
    """What several stores hold.

    Attributes:
        runs: By cell id; where several stores ran a cell, that of the store named first.
        planned: Every cell that a plan names, by id.
        skipped: Those that every plan skips for a stated reason.
        num_repeated: Cells that more than one store ran.
        problems: Files that were left alone, and why.
        num_records: Of each store.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    planned: dict[str, Facts] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    num_repeated: int = 0
    problems: list[Problem] = field(default_factory=list)
    num_records: dict[str, int] = field(default_factory=dict)


def collect(paths: Sequence[Path], progress: Progress = silent) -> Collected:
    """Read stores, the first one first.

    Args:
        paths: Of the stores.
        progress: Is told how far it is.

    Raises:
        RequestError: One holds nothing.
    """
    stores = [Store(path) for path in paths]
    for store in stores:
        if not store.exists:
            raise RequestError(f"{store.path} holds no results; sftbench run --out {store.path}")
    found, due = Collected(), set[str]()
    listed = [store.cell_folders() for store in stores]
    num_cells, num_read = sum(len(folders) for folders, _ in listed), 0
    with _processes(num_cells) as each:
        for store, (folders, problems) in zip(stores, listed, strict=True):
            found.problems += problems
            found.num_records[str(store.path)] = 0
            parts = _parts(folders, _BATCH)
            for part, (runs, broken) in zip(parts, each(_read_cells, parts), strict=True):
                num_read += len(part)
                progress("reading cells", num_read, num_cells)
                found.problems += broken
                found.num_records[str(store.path)] += len(runs)
                for run in runs:
                    _add(found, run)
            plan_files, unlisted = store.plan_files()
            found.problems += unlisted
            for cells, broken in each(_read_plans, _parts(plan_files, 1)):
                found.problems += broken
                for cell_id, facts, is_due in cells:
                    ran = found.runs.get(cell_id)
                    # One id is one cell: what is equal need not be kept twice.
                    found.planned.setdefault(cell_id, facts if ran is None else ran.facts)
                    (due if is_due else found.skipped).add(cell_id)
    found.skipped -= due
    return found


def facts_of(cell: Cell) -> Facts:
    """Return what a leaderboard tells cells apart by."""
    protocol, sizeless = _digests(cell.protocol.model_dump_json())
    size = cell.protocol.image_size
    # A hundred thousand cells share few names.
    return Facts(
        task=sys.intern(cell.task),
        dataset=sys.intern(cell.dataset),
        variant=sys.intern(cell.variant),
        backbone=sys.intern(cell.backbone),
        weights=sys.intern(cell.weights),
        protocol=sys.intern(cell.protocol.name),
        protocol_digest=protocol,
        sizeless_digest=sizeless,
        image_size=size if isinstance(size, int) else 0,
        strategy=sys.intern(cell.strategy),
        options=sys.intern(canonical(cell.options)),
        version=cell.version,
        seed=cell.seed,
    )


def run_of(record: Record) -> Run:
    """Return what a leaderboard needs of a record."""
    spec = record.primary
    value = record.value(spec.name) if spec is not None and record.status == "ok" else None
    brought = record.provenance.get("plugins")
    packages = brought if isinstance(brought, dict) else {}
    return Run(
        cell_id=record.cell_id,
        facts=facts_of(record.cell),
        status=record.status,
        metric=sys.intern(spec.name) if spec else "",
        direction=spec.direction if spec else "max",
        low=spec.range[0] if spec else 0.0,
        high=spec.range[1] if spec else None,
        value=value,
        seconds=record.timing.total_seconds,
        trainable=record.counts.trainable,
        packages=tuple(
            (_name(kind), _name(label))
            for kind, label in sorted(packages.items())
            if isinstance(label, str)
        ),
    )


@functools.lru_cache(maxsize=10_000)
def _digests(protocol: str) -> tuple[str, str]:
    """Return the digests of a protocol in JSON: whole, and without its image size."""
    values = json.loads(protocol)
    whole = digest(values)
    del values["image_size"]
    return whole, digest(values)


@functools.lru_cache(maxsize=10_000)
def _once(packages: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the first of equal packages: what came from another process shares nothing."""
    return packages


@functools.lru_cache(maxsize=10_000)
def _name(text: str) -> str:
    """Return what names a package or kind, short and safe to print."""
    return one_line(text, 120)


def _read_cells(folders: Sequence[Path]) -> tuple[list[Run], list[Problem]]:
    """Read the latest valid attempt of each of some cells."""
    runs, problems = [], []
    for folder in folders:
        valid, _, broken = Store.scan_cell(folder)
        problems += broken
        if valid:
            runs.append(run_of(valid[-1]))
    return runs, problems


def _read_plans(paths: Sequence[Path]) -> tuple[list[tuple[str, Facts, bool]], list[Problem]]:
    """Read some plans: their cells, and whether each is to run."""
    cells, problems = [], []
    for path in paths:
        try:
            plan = read_plan(path)
        except RecordError as error:
            problems.append(Problem(path, str(error)))
            continue
        cells += [(cell.cell_id, facts_of(cell), True) for cell in plan.cells]
        cells += [(skip.cell.cell_id, facts_of(skip.cell), False) for skip in plan.skipped]
    return cells, problems


def _add(found: Collected, run: Run) -> None:
    """Keep a run, unless an earlier store has one of its cell that ended well."""
    before = found.runs.get(run.cell_id)
    if before is not None:
        found.num_repeated += 1
    if before is None or (before.value is None and run.value is not None):
        found.runs[run.cell_id] = run._replace(packages=_once(run.packages))


def _parts(paths: Sequence[Path], size: int) -> list[Sequence[Path]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]


@contextmanager
def _processes(num_cells: int) -> Iterator[_Each]:
    """Give a `map` that keeps order: of two processes where they pay."""
    if num_cells < _LEAST_SHARED:
        yield map
        return
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        yield pool.map
