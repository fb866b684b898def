"""sftbench itself: a plan through the `inline` executor, as `sftbench run` would have it.

On the clock is everything from the first cell to the last saved record, less the evaluation that
the records count. Planning, reading weights and decoding images come before it, as for everybody;
features are computed inside of it, because the worker's memory and the cache hold none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import sftbench.warm
from benchmarks.peers.training import MOMENTUM
from benchmarks.peers.work import Outcome, Work
from sftbench.api import CellFinished, Event, Job, Protocol, Record
from sftbench.assembly import build_workspace, resolve
from sftbench.cache import cache_root
from sftbench.engine.workspace import Workspace
from sftbench.request import Request
from sftbench.running import Again, run_plan
from sftbench.session import Session
from sftbench.warm import Warm

_PLUGIN = "sftbench-benchmarks"


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the training of a plan."""
    out = Path(tempfile.mkdtemp(prefix="store-", dir=os.environ["SFTBENCH_CACHE"]))
    sessions = _sessions(work, out)

    def run() -> Outcome:
        forget_features()
        warm = _read_already(sessions)
        records, seconds = _execute(sessions, warm)
        return _outcome(records, seconds, warm)

    return run


def backbone_passes(works: list[Work]) -> list[int]:
    """Return how many images entered the backbone in each of several runs that share a cache.

    Each run has a worker's memory of its own; what a later one has of an earlier one, it has from
    the disk. The count is taken where images come in: a convolution of three channels.
    """
    forget_features()
    counts = []
    for work in works:
        passed = 0

        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            nonlocal passed
            if isinstance(module, nn.Conv2d) and module.in_channels == 3:
                passed += len(inputs[0])

        sessions = _sessions(work, Path(tempfile.mkdtemp(dir=os.environ["SFTBENCH_CACHE"])))
        warm = _read_already(sessions)
        hook = nn.modules.module.register_module_forward_pre_hook(note)
        try:
            _execute(sessions, warm)
        finally:
            hook.remove()
        counts.append(passed)
    return counts


def workspace(work: Work) -> Workspace:
    """Return the first cell of a work, built and not trained."""
    [session] = _sessions(work, Path(os.environ["SFTBENCH_CACHE"]) / "unused")
    cell, warm = session.due[0], Warm(session.job, catalog=session.catalog)
    return build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)


def forget_features() -> None:
    """Drop the cached features on disk; what else the cache holds stays."""
    shutil.rmtree(cache_root() / "features", ignore_errors=True)


def changes(work: Work, rate: float) -> dict[str, Any]:
    """Return what the work asks of the protocol: the article's optimiser, nothing validated."""
    return {
        "epochs": work.epochs,
        "batch_size": work.batch_size,
        "image_size": work.image_size,
        "limit_train": work.limit,
        "limit_test": None,
        "validation_fraction": 0.0,
        "selection": "last",
        "optimizer": "momentum",
        "momentum": MOMENTUM,
        "weight_decay": 0.0,
        "rates": dict.fromkeys(("head_alone", "head", "backbone", "scratch"), rate),
        "schedule": "constant",
        "warmup": 0.0,
        "augment": _augment(),
        "precision": work.precision,
    }


def _augment() -> str:
    """Return padded crop and flip; flip alone where the protocol has no crop yet."""
    words = str(Protocol.model_fields["augment"].annotation)
    return "crop" if "'crop'" in words else "flip"


def _sessions(work: Work, out: Path) -> list[Session]:
    """Plan the work: a plan for each learning rate, because a plan has one protocol."""
    install_strategies()
    job = Job(out=out, devices=(_device(work),), plugins=_PLUGIN)
    sessions = []
    for rate in work.rates:
        request = Request(
            backbone=(work.backbone,),
            weights=(work.weights,),
            dataset=(f"arrays:{work.folder}",),
            variant=work.variants,
            strategy=work.strategies,
            seeds=work.seeds,
            changes=changes(work, rate),
            baseline=work.strategies[0],
        )
        session = Session.make(request, job=job, again=Again(force=True), executor="inline")
        session.prepare()
        sessions.append(session)
    return sessions


def _device(work: Work) -> str:
    return "cuda:0" if work.device == "cuda" else work.device


def install_strategies() -> None:
    """Offer `benchmarks.peers.frozen` to discovery, as an installed package would be."""
    import sys

    folder = Path(os.environ["SFTBENCH_CACHE"]) / "plugin"
    info = folder / "sftbench_benchmarks-1.dist-info"
    if not info.exists():
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_PLUGIN}\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[sftbench]\nfrozen = benchmarks.peers.frozen\n")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


class _Watched(Warm):
    """A worker's memory that remembers the networks it gave away."""

    def __init__(self, job: Job, **more: Any) -> None:
        super().__init__(job, **more)
        self.given: nn.Module | None = None

    def network(self, *args: Any, **more: Any) -> Any:
        found = super().network(*args, **more)
        self.given = found[0]
        return found


def _read_already(sessions: Sequence[Session]) -> _Watched:
    """Return a new worker's memory in which weights are read and images decoded, and no more."""
    warm = _Watched(sessions[0].job, catalog=sessions[0].catalog)
    first = {(cell.backbone, cell.strategy): cell for cell in sessions[0].due}
    for cell in first.values():
        build_workspace(cell, resolve(cell, warm), warm, lambda *_: None)
    return warm


def _execute(sessions: Sequence[Session], warm: Warm) -> tuple[list[Record], float]:
    """Run the cells of all plans at once in that memory; return records and seconds."""
    records: list[Record] = []
    cells = [cell for session in sessions for cell in session.due]
    first = sessions[0]

    def listen(event: Event) -> None:
        if isinstance(event, CellFinished):
            records.append(event.record)

    with _in_memory(warm):
        start = time.perf_counter()
        run_plan(first.plan, cells, first.job, first.executor, [listen])
        if warm.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    for record in records:
        if record.status != "ok":
            why = record.error.message if record.error else ""
            raise RuntimeError(f"cell {record.cell.title} ended as {record.status}: {why}")
    return records, seconds


@contextmanager
def _in_memory(warm: Warm) -> Iterator[None]:
    """Let the executor find its memory made: it makes one when it starts."""
    made: list[Warm] = []

    def give(*_args: Any, **_more: Any) -> Warm:
        made.append(warm)
        return warm

    with mock.patch.object(sftbench.warm, "Warm", give):
        yield
    if not made:
        raise RuntimeError("the executor did not take the memory in which everything is read")


def _outcome(records: list[Record], seconds: float, warm: _Watched) -> Outcome:
    fields = ("setup", "warmup", "data_wait", "train", "eval", "total")
    own = {
        name: sum(getattr(record.timing, f"{name}_seconds") for record in records)
        for name in fields
    }
    last = records[-1]
    return Outcome(
        seconds=seconds - own["eval"],
        images=sum(record.counts.drawn_examples for record in records),
        steps=sum(stage.steps for record in records for stage in record.stages),
        first_loss=last.history[0].train_loss or float("nan"),
        final_loss=last.history[-1].train_loss or float("nan"),
        backbone_moved=_moved(last, warm) if len(records) == 1 else None,
        notes={
            "threads": torch.get_num_threads(),
            "cells": len(records),
            "wall_seconds": seconds,
            "engine_seconds": own,
            "precision": last.cell.protocol.precision,
            "augment": last.cell.protocol.augment,
            "examples_per_second": last.timing.examples_per_second,
        },
    )


def _moved(record: Record, warm: _Watched) -> bool | None:
    """Tell whether the last network differs from a new one of the same cell."""
    trained = warm.given
    if trained is None:
        return None
    parts = resolve(record.cell, warm)
    size = int(record.cell.protocol.image_size)
    weights = parts.strategy.weights(record.cell.weights)
    new = warm.network(parts.backbone, weights, size, record.cell.seed)[0]
    pairs = zip(trained.parameters(), new.parameters(), strict=True)
    return any(not torch.equal(a.detach().cpu(), b.detach().cpu()) for a, b in pairs)
