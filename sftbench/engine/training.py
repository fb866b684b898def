"""All stages of a strategy, and the two models that come out: selected and last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sftbench.contracts.strategy import Stage, Strategy
from sftbench.contracts.task import Predictions
from sftbench.engine import order
from sftbench.engine.epochs import Best, score_of
from sftbench.engine.loop import run_stage
from sftbench.engine.predict import predict
from sftbench.engine.splits import SplitData
from sftbench.engine.stage import Span, copy_state, evaluated
from sftbench.engine.workspace import Workspace
from sftbench.errors import RequestError
from sftbench.models.model import Model

_SHARE_TOLERANCE = 1e-6
# The reason of a verdict that compares training with test examples.
_ASKS_FOR_TRAINING = "OVERFIT"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Predictions of one model: on validation (None where there is none) and on the test split."""

    val: Predictions | None
    test: Predictions


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model whose stages are over, before anything is selected or tested.

    `stage` is the last one, `best` its best state on validation.
    """

    stage: Stage
    best: Best

    def score(self, ws: Workspace) -> float:
        """Return the primary metric on validation of what will be selected, before `finalise`."""
        if ws.protocol.selection == "validation":
            return self.best.score
        assert self.best.val is not None  # noqa: S101 - tuning needs a validation split
        return score_of(ws, self.best.val)


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gave: the selected model, and the outputs of both.

    `seen` are the selected model's on examples that it was trained on (None: nobody asks).
    """

    model: Model
    selected: Outputs
    last: Outputs
    seen: Predictions | None = None


def train(ws: Workspace) -> Trained:
    """Run every stage, select, finalise, and predict; the test split is read here, once.

    Raises:
        RequestError: The strategy's stages do not add up to its budget.
        DivergedError: The loss left the finite numbers.
    """
    return finish(ws, fit(ws))


def fit(ws: Workspace) -> Fitted:
    """Run every stage; the test split is not looked at.

    Raises:
        RequestError: The strategy's stages do not add up to its budget.
        DivergedError: The loss left the finite numbers.
    """
    stages = stages_of(ws)
    if ws.strategy.needs_initial_state:
        ws.initial = copy_state(ws.model)
        ws.ctx.snapshots["initial"] = ws.initial
    ws.ctx.validate = lambda candidate: _validate(ws, candidate)
    best = Best()
    optimizer: torch.optim.Optimizer | None = None
    for number, (stage, span) in enumerate(stages):
        is_last = number == len(stages) - 1
        carried = optimizer if stage.carry else None
        optimizer = run_stage(ws, stage, span, carried, best if is_last else None)
        if not is_last and _keeps_snapshots(ws.strategy):
            ws.ctx.snapshots[f"end:{stage.name}"] = copy_state(evaluated(ws, stage))
    return Fitted(stages[-1][0], best)


def _keeps_snapshots(strategy: Strategy) -> bool:
    return strategy.needs_snapshots or strategy.finalises


def finish(ws: Workspace, fitted: Fitted) -> Trained:
    """Predict with the last model, then turn it into the selected one and predict again."""
    stage, best = fitted.stage, fitted.best
    finalises = ws.strategy.finalises
    model = evaluated(ws, stage)
    with ws.clock.measure("eval"):
        # The last epoch was just validated with this very model.
        last = Outputs(best.val, predict_on(ws, model, ws.data.test, ws.data.test_indices))
    if finalises:
        ws.ctx.snapshots[f"end:{stage.name}"] = copy_state(model)
    if best.state is not None:
        model.load_state_dict(dict(best.state), strict=False)  # the rest did not change
    if not finalises and best.state is None:
        return Trained(model, selected=last, last=last, seen=_seen(ws, model))
    if finalises:
        ws.ctx.snapshots["best"] = copy_state(model)
        with ws.clock.measure("train"):
            ws.known.forget()
            model = ws.strategy.finalise(model, ws.ctx).to(ws.device)
            ws.known.forget()
    with ws.clock.measure("eval"):
        return Trained(model, selected=_outputs(ws, model), last=last, seen=_seen(ws, model))


def _outputs(ws: Workspace, model: Model) -> Outputs:
    has_val = len(ws.data.val_indices) > 0
    return Outputs(
        val=predict_on(ws, model, ws.data.train, ws.data.val_indices) if has_val else None,
        test=predict_on(ws, model, ws.data.test, ws.data.test_indices),
    )


def _seen(ws: Workspace, model: Model) -> Predictions | None:
    """Predict on training examples, at most as many as are tested, for the reason that asks.

    Their targets are the labels that they were trained with. Which they are goes by the seed, so
    that strategies share them. Without validation the reason is silent, and nothing is predicted.
    """
    data = ws.data
    if _ASKS_FOR_TRAINING not in ws.task.reasons or len(data.val_indices) == 0:
        return None
    chosen = np.arange(len(data.train_indices), dtype=np.int64)
    if len(chosen) > len(data.test_indices):
        generator = ws.numpy_generator("evaluated-training")
        chosen = np.sort(generator.choice(chosen, len(data.test_indices), replace=False))
    with ws.clock.measure("eval"):
        kept = predict_on(ws, model, data.train, data.train_indices[chosen])
    return Predictions(kept.index, data.train_targets[chosen], kept.outputs)


def predict_on(
    ws: Workspace,
    model: Model,
    split: SplitData,
    indices: NDArray[np.int64],
    *,
    on_disk: bool = True,
) -> Predictions:
    """Predict on a split, over cached features where every stage used them.

    Args:
        ws: The cell.
        model: Its own.
        split: Any, in the form of the cell's.
        indices: int64 [N], positions in it.
        on_disk: Whether features may be looked for and kept on the disk; else in memory alone.
    """
    used = [stage.frozen_blocks if stage.cached_features else 0 for stage in ws.stages]
    k = min(used, default=0)
    rows = ws.feature_rows(model, split, k, indices, on_disk=on_disk) if k > 0 else None
    return predict(model, ws.task, split, indices, ws.protocol.precision, rows=rows, k=k)


def _validate(ws: Workspace, model: torch.nn.Module) -> float:
    """Return the primary metric on the validation split, for `finalise`."""
    if not isinstance(model, Model) or len(ws.data.val_indices) == 0:
        raise RequestError(
            f"strategy {ws.strategy.name!r} chooses on validation: it needs the cell's model and "
            "a protocol with validation_fraction above 0"
        )
    ws.work.validations += 1
    return score_of(ws, predict_on(ws, model, ws.data.train, ws.data.val_indices))


def stages_of(ws: Workspace) -> list[tuple[Stage, Span]]:
    """Return the strategy's stages, each with its place in its schedule; called once a cell.

    Raises:
        RequestError: They do not add up to the strategy's budget.
    """
    stages = ws.strategy.stages(ws.ctx)
    _check_budget(ws.strategy, stages)
    return list(zip(stages, _spans(ws, stages), strict=True))


def _spans(ws: Workspace, stages: Sequence[Stage]) -> list[Span]:
    """Return each stage's place in its schedule; stages that carry share one."""
    shares = [stage.share for stage in stages]
    draws = order.num_draws(ws.protocol.epochs, shares, len(ws.data.train_indices))
    steps = [len(order.batch_sizes(count, ws.protocol.batch_size)) for count in draws]
    starts = [i for i, stage in enumerate(stages) if i == 0 or not stage.carry]
    spans: list[Span] = []
    for start, stop in zip(starts, [*starts[1:], len(stages)], strict=True):
        total = sum(steps[start:stop])
        spans.extend(Span(i, draws[i], sum(steps[start:i]), total) for i in range(start, stop))
    return spans


def _check_budget(strategy: Strategy, stages: Sequence[Stage]) -> None:
    if not stages:
        raise RequestError(f"strategy {strategy.name!r} has no stages")
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise RequestError(f"strategy {strategy.name!r} has two stages of one name: {names}")
    # Labelled streams draw target labels too, so they count.
    shares = sum(
        stage.share * (1 + sum(s.ratio for s in stage.streams if s.source == "labelled"))
        for stage in stages
    )
    if abs(shares - strategy.budget_factor) > _SHARE_TOLERANCE:
        raise RequestError(
            f"the stages of strategy {strategy.name!r} take {shares:g} of the budget; "
            f"its budget_factor is {strategy.budget_factor:g}"
        )
