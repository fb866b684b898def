"""The only training loop: one stage, from its first batch to its last validation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sftbench.contracts.strategy import Stage
from sftbench.engine.epochs import (
    Best,
    Point,
    check_loss,
    check_losses,
    check_tensors,
    note,
    validated,
)
from sftbench.engine.optimizers import set_rates
from sftbench.engine.pacing import drive
from sftbench.engine.predict import predict
from sftbench.engine.runtime import seeded
from sftbench.engine.solver import solve_stage
from sftbench.engine.stage import Running, Span, drawn, evaluated, prepare_stage, state_after
from sftbench.engine.step import EngineStep, default_update
from sftbench.engine.workspace import Workspace
from sftbench.errors import RequestError


def run_stage(
    ws: Workspace,
    stage: Stage,
    span: Span,
    carried: torch.optim.Optimizer | None,
    best: Best | None,
) -> torch.optim.Optimizer | None:
    """Train one stage in place; return its optimiser, None where a solver trained it.

    Args:
        ws: The cell; its model trains.
        stage: What trains, and how.
        span: The stage's place in its schedule.
        carried: The optimiser to go on from, or None.
        best: Filled with the best validated state (the last stage), or None.

    Raises:
        DivergedError: The loss is not finite.
    """
    if stage.prepare is not None:
        with ws.clock.measure("setup"):
            ws.known.forget()  # it may validate what it makes of the model
            with seeded(ws.device, ws.ctx.generator(f"prepare:{stage.name}").initial_seed()):
                stage.prepare(ws.model, ws.ctx)
            ws.model.to(ws.device)
            ws.known.forget()
    if stage.solver is not None:
        solve_stage(ws, stage, stage.solver, best)
        if _gives_away(stage):
            ws.known.forget()
        return None
    plan = drawn(ws, stage, span)
    with ws.clock.measure("setup"):
        run = prepare_stage(ws, stage, span, carried, plan)
    with seeded(ws.device, ws.ctx.generator(f"dropout:{span.number}").initial_seed()):
        _run_steps(ws, run, plan, best)
    if ws.stages[-1].frozen_blocks < ws.model.network.num_blocks or _gives_away(stage):
        ws.known.forget()
    return run.optimizer


def _run_steps(ws: Workspace, run: Running, plan: NDArray[np.int64], best: Best | None) -> None:
    """Run the steps of a stage, with a validation at the end of each epoch."""

    def after_first(point: Point) -> None:
        ws.work.warmup += ws.work.drawn - drawn_before
        check_loss(run.losses[0], point)
        note(ws, point, run.losses[0])

    drawn_before = ws.work.drawn
    drive(
        ws,
        run.stage.name,
        len(plan),
        step=lambda number, draws: _one_step(ws, run, number, plan[draws]),
        after_first=after_first,
        end_epoch=lambda point: _end_epoch(ws, run, point, best),
    )


def _gives_away(stage: Stage) -> bool:
    """Tell whether code that is not the engine's had the model while the stage ran."""
    parts = (stage.loss, stage.penalty, stage.update, stage.after_step, stage.eval_model)
    return any(part is not None for part in parts)


def _one_step(ws: Workspace, run: Running, number: int, positions: NDArray[np.int64]) -> float:
    """Run one optimiser step and return the highest learning rate used."""
    with ws.clock.measure("data_wait", synchronise=False):
        indices = torch.from_numpy(ws.data.train_indices[positions])
        labels = torch.from_numpy(ws.data.train_targets[positions]).to(ws.device)
        if run.train_rows is None:
            inputs, targets = ws.data.train.batch(indices, labels, run.view, run.augment)
        else:
            inputs = run.train_rows[indices]
            targets = ws.data.train.batch_targets(indices, labels)
        streams = {
            name: flow.batch(len(positions), run.augment) for name, flow in run.flows.items()
        }
    scale, swing = run.span.schedule_at(number, run.stage, ws.protocol)
    rate = set_rates(run.optimizer, scale, swing)
    step = EngineStep(
        ws,
        run.stage,
        run.parameters,
        run.optimizer,
        inputs=inputs,
        targets=targets,
        size=len(positions),
        k=run.k,
        streams=streams,
        progress=number / run.num_steps,
        mixer=run.mixer,
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
        check_loss(step.first_loss, Point(run.stage.name, number + 1, 0.0, rate))
    if run.stage.after_step is not None:
        run.stage.after_step(ws.model, number + 1)
    return rate


def _end_epoch(ws: Workspace, run: Running, point: Point, best: Best | None) -> None:
    """Check the epoch's losses, validate, and add a row to the history."""
    losses = torch.stack(run.losses)
    run.losses.clear()
    check_losses(losses, point)
    model = evaluated(ws, run.stage)
    if best is not None and point.is_last:
        frozen = run.stage.eval_model is None
        check_tensors((p for p in model.parameters() if p.requires_grad or not frozen), point)
    found = None
    if len(ws.data.val_indices) > 0:
        with ws.clock.measure("eval"):
            kept = predict(
                model,
                ws.task,
                ws.data.train,
                ws.data.val_indices,
                ws.protocol.precision,
                rows=run.train_rows,
                k=run.k,
            )
            found = validated(ws, point, kept, best, lambda: state_after(run, model))
    note(ws, point, losses, found)
