"""A stage that goes to the minimum: a linear head on frozen features, by L-BFGS."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftbench.contracts.strategy import Convex, Stage
from sftbench.engine.epochs import Best, Point, check_tensors, note, validated
from sftbench.engine.lbfgs import Minimum, minimise
from sftbench.engine.losses import stage_loss
from sftbench.engine.predict import predict
from sftbench.engine.workspace import Workspace
from sftbench.errors import DivergedError, RequestError
from sftbench.models.freezing import choose_trainable, set_modes
from sftbench.records import StageInfo


def solve_stage(ws: Workspace, stage: Stage, solver: Convex, best: Best | None) -> None:
    """Train the head to the minimum of the stage's objective.

    Args:
        ws: The cell; its head changes.
        stage: What trains, its loss.
        solver: The penalty, and when to stop.
        best: Filled with the validated state (the last stage), or None.

    Raises:
        RequestError: More than a linear head trains, or its features do not fit.
        DivergedError: The objective is not finite.
    """
    head = _head(ws, stage)
    with ws.clock.measure("setup"), ws.clock.measure("data_wait"):
        k = ws.model.network.num_blocks
        rows = ws.feature_rows(ws.model, ws.data.train, k, _wanted(ws))
        if rows is None:
            raise RequestError(f"stage {stage.name!r} solves on features that do not fit in memory")
        features = rows[torch.from_numpy(ws.data.train_indices)].double()
        targets = torch.from_numpy(ws.data.train_targets).to(ws.device)
    problem = _Problem(ws, stage, solver, features, targets)
    with ws.clock.measure("train"):
        start = torch.cat([head.weight.detach().flatten(), head.bias.detach()]).double()
        found = minimise(
            problem,
            start[None],
            tolerance=solver.tolerance,
            max_iterations=solver.max_iterations,
        )
        weight, bias = problem.split(found.points[0])
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        if stage.after_step is not None:
            stage.after_step(ws.model, int(found.iterations[0]))
    _note(ws, stage, k, found, best)


def _wanted(ws: Workspace) -> NDArray[np.int64]:
    """Return which rows of the training split the stage and its validation look at, int64 [n]."""
    return np.concatenate([ws.data.train_indices, ws.data.val_indices])


class _Problem:
    """The objective of one head and its gradient."""

    def __init__(
        self, ws: Workspace, stage: Stage, solver: Convex, features: Tensor, targets: Tensor
    ) -> None:
        self._ws, self._stage, self._l2 = ws, stage, solver.l2
        self._features, self._targets = features, targets

    def split(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight [C, D] and bias [C] of a point [P]."""
        width = self._features.shape[1]
        num_classes = len(point) // (width + 1)
        return point[:-num_classes].view(num_classes, width), point[-num_classes:]

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return values [1] and gradients [1, P] of points [1, P]."""
        point = points[0].detach().requires_grad_()
        weight, bias = self.split(point)
        logits = nn.functional.linear(self._features, weight, bias)
        loss = stage_loss(self._ws, self._stage, logits, self._features, self._targets)
        value = loss + 0.5 * self._l2 * weight.square().sum()
        if not bool(torch.isfinite(value)):
            raise DivergedError(f"the objective of stage {self._stage.name!r} is {value.item()}")
        [slope] = torch.autograd.grad(value, point)
        work, count = self._ws.work, len(self._targets)
        work.drawn += count
        work.forward += count
        work.backward += count
        return value.detach()[None], slope[None]


def _head(ws: Workspace, stage: Stage) -> nn.Linear:
    """Return the head, if a solver can train this stage."""
    names = choose_trainable(ws.model, stage.trainable)
    set_modes(ws.model)
    head = ws.model.head
    others = (stage.streams, stage.update, stage.eval_model, stage.sampler)
    linear = type(head) is nn.Linear and head.bias is not None and ws.task.labels
    if not linear or names != ["head.weight", "head.bias"] or any(others):
        raise RequestError(
            f"stage {stage.name!r} of {ws.strategy.name!r} has a solver: it must train a linear "
            "head alone on one class for each example, without streams, sampler, update or "
            "eval_model"
        )
    assert isinstance(head, nn.Linear)  # noqa: S101 - as just seen
    return head


def _note(ws: Workspace, stage: Stage, k: int, found: Minimum, best: Best | None) -> None:
    """Add the stage and its end to what is known of the cell, and validate."""
    iterations = max(1, int(found.iterations[0]))
    point = Point(stage.name, iterations, float(found.evaluations), 0.0, is_last=True)
    check_tensors(ws.model.head.parameters(), point)
    ws.stages.append(
        StageInfo(
            name=stage.name,
            trainable=sum(p.numel() for p in ws.model.head.parameters()),
            steps=iterations,
            examples=found.evaluations * len(ws.data.train_indices),
            frozen_blocks=k,
            cached_features=True,
            views=1,
            solver="lbfgs" if bool(found.converged[0]) else "lbfgs (not converged)",
        )
    )
    judged = None
    if len(ws.data.val_indices) > 0:
        with ws.clock.measure("eval"):
            rows = ws.feature_rows(ws.model, ws.data.train, k, _wanted(ws))
            kept = predict(
                ws.model,
                ws.task,
                ws.data.train,
                ws.data.val_indices,
                ws.protocol.precision,
                rows=rows,
                k=k,
            )
            judged = validated(ws, point, kept, best, dict)
    note(ws, point, found.values[0], judged)
    ws.progress(stage.name, iterations, iterations, {})
