"""The only training loop: one stage, from its first batch to its last validation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftbench.contracts.strategy import Stage, View
from sftbench.contracts.task import Predictions
from sftbench.engine import order
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.optimizers import carry_state, make_optimizer, set_rates
from sftbench.engine.predict import predict
from sftbench.engine.runtime import seeded
from sftbench.engine.schedules import factor, momentum
from sftbench.engine.step import EngineStep, default_update
from sftbench.engine.streams import Flow
from sftbench.engine.workspace import Workspace
from sftbench.errors import DivergedError, RequestError
from sftbench.models.freezing import choose_trainable, frozen_blocks, set_modes
from sftbench.models.model import Model
from sftbench.records import HistoryRow, StageInfo

_SECONDS_BETWEEN_REPORTS = 0.25


@dataclass(slots=True)
class Best:
    """The best state so far on validation: higher is better, and the later of equals.

    `state` is None where the last epoch is the best, or nothing is selected. `val` holds the
    last epoch's predictions.
    """

    score: float = -float("inf")
    state: Mapping[str, Tensor] | None = None
    val: Predictions | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Where a stage lies: its number, its draws, and its place in a schedule.

    Stages that carry share a schedule of `total` steps; this one begins at `offset`.
    """

    number: int
    draws: int
    offset: int
    total: int


@dataclass(slots=True)
class _Running:
    """One stage while it runs."""

    stage: Stage
    span: Span
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter]
    k: int
    train_rows: FeatureRows | None
    val_rows: FeatureRows | None
    view: View
    flows: dict[str, Flow]
    augment: torch.Generator
    num_steps: int
    losses: list[Tensor]


def run_stage(
    ws: Workspace,
    stage: Stage,
    span: Span,
    carried: torch.optim.Optimizer | None,
    best: Best | None,
) -> torch.optim.Optimizer:
    """Train one stage in place.

    Args:
        ws: The cell; its model trains.
        stage: What trains, and how.
        span: The stage's place in its schedule.
        carried: The optimiser to go on from, or None.
        best: Filled with the best validated state (the last stage), or None.

    Raises:
        DivergedError: The loss is not finite.
    """
    # Streams of chance go by the stage's number, so that strategies share them.
    generator = ws.numpy_generator("order", str(span.number))
    plan = order.draw(ws.data.train_targets, span.draws, generator, stage.sampler)
    with ws.clock.measure("setup"):
        run = _prepare(ws, stage, span, carried, plan)
    with seeded(ws.device, ws.ctx.generator(f"dropout:{span.number}").initial_seed()):
        _run_steps(ws, run, plan, best)
    if ws.stages[-1].frozen_blocks < ws.model.network.num_blocks or _gives_away(stage):
        ws.known.forget()
    return run.optimizer


def _run_steps(ws: Workspace, run: _Running, plan: NDArray[np.int64], best: Best | None) -> None:
    """Run the steps of a stage, with a validation at the end of each epoch."""
    per_epoch = len(ws.data.train_indices)
    drawn, epoch, reported = 0, 0, 0.0
    for number, positions in enumerate(order.batches(plan, ws.protocol.batch_size)):
        with ws.clock.measure("train", synchronise=False):
            rate = _one_step(ws, run, number, positions)
            if number == 0:
                _check_finite(run, 1)
                _note(ws, run, epoch=0.0, step=1, rate=rate)
        drawn += len(positions)
        last = drawn == len(plan)
        if last or drawn // per_epoch > epoch:
            epoch = drawn // per_epoch
            with ws.clock.measure("train"):
                pass  # what the device still has to do belongs to training
            _end_of_epoch(ws, run, number + 1, drawn / per_epoch, rate, best, last=last)
        if last or time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            ws.progress(run.stage.name, number + 1, run.num_steps, {})


def _gives_away(stage: Stage) -> bool:
    """Tell whether code that is not the engine's had the model while the stage ran."""
    parts = (stage.loss, stage.update, stage.after_step, stage.eval_model)
    return any(part is not None for part in parts)


def evaluated(ws: Workspace, stage: Stage) -> Model:
    """Return the model that this stage validates: the trained one, or its average."""
    return ws.model if stage.eval_model is None else stage.eval_model(ws.model)


def _prepare(
    ws: Workspace,
    stage: Stage,
    span: Span,
    carried: torch.optim.Optimizer | None,
    plan: NDArray[np.int64],
) -> _Running:
    if stage.prepare is not None:
        with seeded(ws.device, ws.ctx.generator(f"prepare:{stage.name}").initial_seed()):
            stage.prepare(ws.model, ws.ctx)
        ws.model.to(ws.device)
        ws.known.forget()
    names = choose_trainable(ws.model, stage.trainable)
    if not names:
        raise RequestError(f"stage {stage.name!r} of {ws.strategy.name!r} trains no parameter")
    set_modes(ws.model)
    # A module of `extra` may be hooked into any block, so nothing before it counts as frozen.
    has_extra = any(name.startswith("extra.") for name in names)
    k = 0 if has_extra else frozen_blocks(ws.model, names)
    # A frozen prefix sees one plain view, whether its outputs fit the cache or not.
    plain = k > 0 and not stage.streams
    train_rows = val_rows = None
    # Streams bring inputs of their own through the same blocks, so those stages run in full.
    if plain:
        wanted = np.concatenate([ws.data.train_indices, ws.data.val_indices])
        with ws.clock.measure("data_wait"):
            train_rows = val_rows = ws.feature_rows(ws.model, ws.data.train, k, wanted)
    optimizer = make_optimizer(ws.model.named_parameters(), stage, ws.ctx)
    if carried is not None:
        carry_state(carried, optimizer)
    parameters = [p for p in ws.model.parameters() if p.requires_grad]
    steps = len(order.batch_sizes(len(plan), ws.protocol.batch_size))
    ws.stages.append(
        StageInfo(
            name=stage.name,
            trainable=sum(p.numel() for p in parameters),
            steps=steps,
            examples=len(plan),
            frozen_blocks=k,
            cached_features=train_rows is not None,
            views=1 if plain else None,
        )
    )
    return _Running(
        stage=stage,
        span=span,
        optimizer=optimizer,
        parameters=parameters,
        k=k if train_rows is not None else 0,
        train_rows=train_rows,
        val_rows=val_rows,
        view="plain" if plain else "weak",
        flows={stream.name: Flow(stream, span.number, ws) for stream in stage.streams},
        augment=ws.ctx.generator(f"augment:{span.number}"),
        num_steps=steps,
        losses=[],
    )


def _one_step(ws: Workspace, run: _Running, number: int, positions: NDArray[np.int64]) -> float:
    """Run one optimiser step and return the highest learning rate used."""
    with ws.clock.measure("data_wait", synchronise=False):
        indices = torch.from_numpy(ws.data.train_indices[positions])
        if run.train_rows is None:
            inputs = ws.data.train.source.inputs(indices, run.view, run.augment)
        else:
            inputs = run.train_rows[indices]
        streams = {
            name: flow.batch(len(positions), run.augment) for name, flow in run.flows.items()
        }
        targets = torch.from_numpy(ws.data.train_targets[positions]).to(ws.device)
    protocol, span = ws.protocol, run.span
    schedule = run.stage.schedule or protocol.schedule
    scale = factor(schedule, span.offset + number, span.total, protocol.warmup)
    swing = momentum(schedule, span.offset + number, span.total, protocol.warmup)
    rate = set_rates(run.optimizer, scale, swing)
    step = EngineStep(
        ws,
        run.stage,
        run.parameters,
        run.optimizer,
        inputs=inputs,
        targets=targets,
        k=run.k,
        streams=streams,
        progress=number / run.num_steps,
    )
    (run.stage.update or default_update)(step)
    if step.num_applied != 1 or step.first_loss is None:
        raise RequestError(
            f"update of stage {run.stage.name!r} of {ws.strategy.name!r} took "
            f"{step.num_applied} optimiser steps; it must call loss() and apply() once"
        )
    ws.work.drawn += len(positions)
    for name, batch in streams.items():
        run.flows[name].count(sum(len(view) for view in batch.views[:1]))
    run.losses.append(step.first_loss)
    if ws.device.type == "cpu":  # elsewhere a look at each loss would stall the device
        _check_finite(run, number + 1)
    if run.stage.after_step is not None:
        run.stage.after_step(ws.model, number + 1)
    return rate


def _check_finite(run: _Running, step: int) -> None:
    if not bool(torch.isfinite(run.losses[-1])):
        raise DivergedError(
            f"loss is {run.losses[-1].item()} at step {step} of stage {run.stage.name!r}"
        )


def _end_of_epoch(
    ws: Workspace,
    run: _Running,
    step: int,
    epoch: float,
    rate: float,
    best: Best | None,
    *,
    last: bool,
) -> None:
    losses = torch.stack(run.losses)
    if not bool(torch.isfinite(losses).all()):
        raise DivergedError(f"a loss before step {step} of stage {run.stage.name!r} is not finite")
    model = evaluated(ws, run.stage)
    if (
        best is not None
        and last
        and not all(bool(torch.isfinite(p).all()) for p in model.parameters())
    ):
        raise DivergedError(f"weights are not finite at step {step} of stage {run.stage.name!r}")
    if len(ws.data.val_indices) == 0:
        _note(ws, run, epoch=epoch, step=step, rate=rate)
        return
    with ws.clock.measure("eval"):
        kept = predict(
            model,
            ws.data.train,
            ws.data.val_indices,
            ws.protocol.precision,
            rows=run.val_rows,
            k=run.k,
        )
        if not np.isfinite(kept.outputs).all():
            raise DivergedError(f"outputs are not finite at step {step} of {run.stage.name!r}")
        score = float(ws.task.primary_from_sums(ws.task.statistics(kept).sum(axis=0)))
        loss = ws.task.validation_loss(kept)
        if best is not None and ws.protocol.selection == "validation" and score >= best.score:
            best.score = score
            best.state = None if last else copy_state(model)
        if best is not None:
            best.val = kept
    _note(ws, run, epoch=epoch, step=step, rate=rate, val_loss=loss, val_metric=score)


def copy_state(model: nn.Module) -> Mapping[str, Tensor]:
    """Return a copy of parameters and buffers by name, on the model's device."""
    return {name: t.detach().clone() for name, t in model.state_dict().items()}


def _note(
    ws: Workspace,
    run: _Running,
    *,
    epoch: float,
    step: int,
    rate: float,
    val_loss: float | None = None,
    val_metric: float | None = None,
) -> None:
    """Add a row to the history; its training loss is the mean since the last row."""
    ws.history.append(
        HistoryRow(
            stage=run.stage.name,
            epoch=epoch,
            step=step,
            train_loss=float(torch.stack(run.losses).mean()),
            val_loss=val_loss,
            val_metric=val_metric,
            rate=rate,
        )
    )
    if epoch > 0:
        run.losses.clear()
