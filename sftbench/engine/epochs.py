"""What is noted of a stage while it runs: losses, validation, the best state so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sftbench.contracts.task import Predictions
from sftbench.engine.workspace import Workspace
from sftbench.errors import DivergedError
from sftbench.records import HistoryRow


@dataclass(slots=True)
class Best:
    """The best state so far on validation: higher is better, and the later of equals.

    `state` is None where the last epoch is the best, or nothing is selected; it holds what the
    stage can change. `val` holds the last epoch's predictions.
    """

    score: float = -float("inf")
    state: Mapping[str, Tensor] | None = None
    val: Predictions | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """Where a stage stands: epochs and steps done, and the highest rate of its last step."""

    stage: str
    step: int
    epoch: float
    rate: float
    is_last: bool = False


def check_loss(loss: Tensor, point: Point) -> None:
    """Raise DivergedError where the loss of this step is not finite."""
    if not bool(torch.isfinite(loss)):
        raise DivergedError(f"loss is {loss.item()} at step {point.step} of stage {point.stage!r}")


def check_losses(losses: Tensor, point: Point) -> None:
    """Raise DivergedError where a loss [n] of the epoch is not finite."""
    if not bool(torch.isfinite(losses).all()):
        raise DivergedError(
            f"a loss before step {point.step} of stage {point.stage!r} is not finite"
        )


def check_tensors(tensors: Iterable[Tensor], point: Point) -> None:
    """Raise DivergedError where a parameter is not finite."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise DivergedError(f"weights are not finite at step {point.step} of stage {point.stage!r}")


def score_of(ws: Workspace, kept: Predictions) -> float:
    """Return the primary metric of predictions."""
    return float(ws.task.primary_from_sums(ws.task.statistics(kept).sum(axis=0)))


def validated(
    ws: Workspace,
    point: Point,
    kept: Predictions,
    best: Best | None,
    state: Callable[[], Mapping[str, Tensor]],
) -> tuple[float | None, float]:
    """Judge the predictions on validation; return loss and primary metric.

    Args:
        ws: The cell.
        point: Where the stage stands.
        kept: Outputs on validation.
        best: Brought up to date, where this stage is the one to select from.
        state: Copies what a later epoch may change.

    Raises:
        DivergedError: An output is not finite.
    """
    if not np.isfinite(kept.outputs).all():
        raise DivergedError(f"outputs are not finite at step {point.step} of {point.stage!r}")
    score = score_of(ws, kept)
    loss = ws.task.validation_loss(kept)
    if best is not None:
        best.val = kept
        if ws.protocol.selection == "validation" and score >= best.score:
            best.score = score
            best.state = None if point.is_last else state()
    return loss, score


def note(
    ws: Workspace,
    point: Point,
    losses: Tensor,
    validation: tuple[float | None, float] | None = None,
) -> None:
    """Add a row to the history.

    Args:
        ws: The cell.
        point: Where the stage stands.
        losses: float [n], of the steps since the last row; the row has their mean.
        validation: Loss and primary metric.
    """
    val_loss, val_metric = validation or (None, None)
    ws.history.append(
        HistoryRow(
            stage=point.stage,
            epoch=point.epoch,
            step=point.step,
            train_loss=float(losses.mean()),
            val_loss=val_loss,
            val_metric=val_metric,
            rate=point.rate,
            seconds=ws.clock.training_seconds,
        )
    )
