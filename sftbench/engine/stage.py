"""One stage made ready: what trains, and where its inputs come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftbench.contracts.strategy import Stage, View
from sftbench.engine import order
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.mixing import Mixer, mixer_of
from sftbench.engine.optimizers import carry_state, make_optimizer
from sftbench.engine.schedules import factor, momentum
from sftbench.engine.streams import Flow
from sftbench.engine.workspace import Workspace
from sftbench.errors import RequestError
from sftbench.models.freezing import choose_trainable, frozen_blocks, set_modes
from sftbench.models.model import Model
from sftbench.protocol import Protocol
from sftbench.records import StageInfo


@dataclass(frozen=True, slots=True)
class Span:
    """Where a stage lies: its number, its draws, and its place in a schedule.

    Stages that carry share a schedule of `total` steps; this one begins at `offset`.
    """

    number: int
    draws: int
    offset: int
    total: int

    def schedule_at(self, step: int, stage: Stage, protocol: Protocol) -> tuple[float, float]:
        """Return the factor of the peak rates at a step of the stage, and momentum's swing."""
        schedule = stage.schedule or protocol.schedule
        place = self.offset + step, self.total, protocol.warmup
        steps = protocol.step_at, protocol.step_factor
        return factor(schedule, *place, steps), momentum(schedule, *place)


@dataclass(slots=True)
class Running:
    """One stage while it runs."""

    stage: Stage
    span: Span
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter]
    k: int
    train_rows: FeatureRows | None
    view: View
    flows: dict[str, Flow]
    augment: torch.Generator
    mixer: Mixer | None
    num_steps: int
    frozen_blocks: int
    losses: list[Tensor] = field(default_factory=list)


def evaluated(ws: Workspace, stage: Stage) -> Model:
    """Return the model that this stage validates: the trained one, or its average."""
    return ws.model if stage.eval_model is None else stage.eval_model(ws.model)


def drawn(ws: Workspace, stage: Stage, span: Span) -> NDArray[np.int64]:
    """Return the training examples of a stage in the order in which they are drawn.

    Chance goes by the stage's number, so that strategies share it.

    Returns:
        int64 [draws], positions in the cell's training examples.
    """
    return order.draw(
        ws.data.train_targets,
        span.draws,
        ws.numpy_generator("order", str(span.number)),
        stage.sampler,
        ws.data.train_lengths,
        ws.protocol.batch_size,
    )


def prepare_stage(
    ws: Workspace,
    stage: Stage,
    span: Span,
    carried: torch.optim.Optimizer | None,
    plan: NDArray[np.int64],
) -> Running:
    """Freeze what the stage freezes, find its features, and make its optimiser.

    Raises:
        RequestError: Nothing trains.
    """
    names = choose_trainable(ws.model, stage.trainable)
    if not names:
        raise RequestError(f"stage {stage.name!r} of {ws.strategy.name!r} trains no parameter")
    set_modes(ws.model)
    # A module of `extra` may be hooked into any block, so nothing before it counts as frozen.
    has_extra = any(name.startswith("extra.") for name in names)
    k = 0 if has_extra else frozen_blocks(ws.model, names)
    # A frozen prefix sees one plain view, whether its outputs fit the cache or not.
    plain = k > 0 and not stage.streams
    train_rows = None
    # Streams bring inputs of their own through the same blocks, so those stages run in full.
    if plain:
        wanted = np.concatenate([ws.data.train_indices, ws.data.val_indices])
        with ws.clock.measure("data_wait"):
            train_rows = ws.feature_rows(ws.model, ws.data.train, k, wanted)
    if train_rows is None:
        with ws.clock.measure("data_wait"):
            batches = order.batches(plan, ws.protocol.batch_size)
            ws.data.train.announce(ws.data.train_indices[positions] for positions in batches)
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
    view: View = "plain" if plain else "weak"
    return Running(
        stage=stage,
        span=span,
        optimizer=optimizer,
        parameters=parameters,
        k=k if train_rows is not None else 0,
        train_rows=train_rows,
        view=view,
        flows={stream.name: Flow(stream, span.number, ws) for stream in stage.streams},
        augment=ws.ctx.generator(f"augment:{span.number}"),
        mixer=mixer_of(ws, stage, span.number, view),
        num_steps=steps,
        frozen_blocks=k,
    )


def state_after(run: Running, model: Model) -> Mapping[str, Tensor]:
    """Return a copy of what the stage can change, by name, on the model's device."""
    if run.stage.eval_model is not None:
        return copy_state(model)
    frozen = run.frozen_blocks
    return {
        name: t.detach().clone()
        for name, t in model.state_dict().items()
        if (block := model.block_of(name)) is None or block >= frozen
    }


def copy_state(model: nn.Module) -> Mapping[str, Tensor]:
    """Return a copy of parameters and buffers by name, on the model's device."""
    return {name: t.detach().clone() for name, t in model.state_dict().items()}
