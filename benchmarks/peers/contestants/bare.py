"""The limit: forward, backward, step on one batch in memory, as sftbench's engine would do it.

Model, memory format, kernels, precision, optimiser and the settings of the process are those that
sftbench chose for its cell; its loop, its data, its clock and its bookkeeping are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.contestants import engine
from benchmarks.peers.training import Log, outcome, synchronise
from benchmarks.peers.work import Outcome, Work
from sftbench.engine.optimizers import make_optimizer, set_rates
from sftbench.engine.runtime import autocast
from sftbench.models.freezing import choose_trainable, set_modes


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the steps."""
    ws = engine.workspace(replace(work, strategies=("full",)))
    [stage] = ws.strategy.stages(ws.ctx)
    choose_trainable(ws.model, stage.trainable)
    set_modes(ws.model)
    optimizer = make_optimizer(ws.model.named_parameters(), stage, ws.ctx)
    set_rates(optimizer, 1.0)
    indices = torch.from_numpy(ws.data.train_indices[: work.batch_size])
    inputs = ws.data.train.source.inputs(indices, "plain", None)
    targets = torch.from_numpy(ws.data.train_targets[: work.batch_size]).to(ws.device)
    return steps_of(work, ws.model, optimizer, inputs, targets, ws.protocol.precision)


def steps_of(
    work: Work,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    precision: str,
) -> Callable[[], Outcome]:
    """Return what takes as many steps as the work has, on one batch."""
    count = max(1, round(work.epochs * (work.limit or work.num_images) / work.batch_size))
    device = torch.device(work.device)

    def run() -> Outcome:
        log = Log()
        synchronise(work.device)
        start = time.perf_counter()
        for _ in range(count):
            with autocast(device, cast(Any, precision)):
                loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            log.add(loss, len(targets))
        synchronise(work.device)
        seconds = time.perf_counter() - start
        done = outcome(work, log, seconds, backbone_moved=None, head_moved=None)
        layout = "channels-last" if _is_channels_last(inputs) else "NCHW"
        return replace(done, notes={**done.notes, "precision": precision, "layout": layout})

    return run


def _is_channels_last(inputs: torch.Tensor) -> bool:
    return inputs.is_contiguous(memory_format=torch.channels_last)
