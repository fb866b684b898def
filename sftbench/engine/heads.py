"""Heads of many cells on the same frozen features, trained as one batched problem.

Cells that differ in seed and learning rates alone, and train nothing but a linear head, do the same
small steps over and over: together they take little longer than one of them. Every head sees the
examples, rates and initial weights that it would see alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftbench.contracts.task import Predictions
from sftbench.engine import order
from sftbench.engine.epochs import (
    Point,
    check_loss,
    check_losses,
    check_tensors,
    note,
    validated,
)
from sftbench.engine.head_bank import HeadBank, Signature
from sftbench.engine.head_grid import Member, Pool, member_of, place
from sftbench.engine.losses import stage_loss
from sftbench.engine.pacing import drive
from sftbench.engine.training import Fitted
from sftbench.engine.workspace import Workspace
from sftbench.errors import DivergedError
from sftbench.records import StageInfo


def train_heads(workspaces: Sequence[Workspace]) -> list[Fitted | DivergedError] | None:
    """Train the heads of several cells at once.

    Args:
        workspaces: Of cells with one backbone (the same module), data set, variant and strategy;
            their clocks are one.

    Returns:
        How each ended, in their order; None where they cannot be trained together: nothing has
        been trained then.
    """
    members = [member for ws in workspaces if (member := member_of(ws)) is not None]
    if len(members) < len(workspaces) or not place(members):
        return None
    pool = Pool.of(members)
    if pool is None:
        return None
    _Problem(members, pool).run()
    if any(member.stage.loss or member.stage.penalty for member in members):
        workspaces[0].known.forget()  # a strategy's own loss may look at more than logits
    return [one.error or Fitted(one.stage, one.best) for one in members]


class _Problem:
    """The steps of all members, and the notes of each."""

    def __init__(self, members: Sequence[Member], pool: Pool) -> None:
        self._members = members
        self._pool = pool
        first = members[0]
        self._ws, self._stage, self._span = first.ws, first.stage, first.span
        grid: dict[Signature, list[nn.Linear]] = {}
        for member in sorted(members, key=lambda one: one.place):
            grid.setdefault(member.signature, []).append(member.ws.model.head)  # type: ignore[arg-type]
        self._bank = HeadBank(list(grid.values()), list(grid), self._ws.protocol)
        self._sizes = order.batch_sizes(len(first.plan), self._ws.protocol.batch_size)
        self._losses: list[Tensor] = []

    def run(self) -> None:
        """Take every step of the budget, with a validation after each epoch."""
        self._introduce()
        drive(
            self._ws,
            self._stage.name,
            len(self._members[0].plan),
            step=self._step,
            after_first=self._note_first,
            end_epoch=self._end_epoch,
        )
        for member in self._members:
            member.ws.model.load_state_dict(dict(self._bank.state(*member.place)), strict=False)

    def _introduce(self) -> None:
        """Note what the stage is, as a stage of its own would."""
        for member in self._members:
            ws = member.ws
            trainable = sum(p.numel() for p in ws.model.head.parameters())
            ws.stages.append(
                StageInfo(
                    name=self._stage.name,
                    trainable=trainable,
                    steps=len(self._sizes),
                    examples=len(member.plan),
                    frozen_blocks=ws.model.network.num_blocks,
                    cached_features=True,
                    views=1,
                )
            )

    def _step(self, number: int, draws: slice) -> float:
        """Take one step of every head; return the factor of the peak rates."""
        ws, span, pool = self._ws, self._span, self._pool
        with ws.clock.measure("data_wait", synchronise=False):
            features, targets = pool.rows[pool.order[:, draws]], pool.targets[:, draws]
        scale, swing = span.schedule_at(number, self._stage, ws.protocol)
        self._bank.set_rates(scale, swing)
        progress = number / len(self._sizes)
        losses = self._bank.step(
            features,
            targets,
            lambda *batch: stage_loss(ws, self._stage, *batch, progress=progress),
        )
        self._losses.append(losses)
        if ws.device.type == "cpu":  # elsewhere a look at each loss would stall the device
            self._look(losses, Point(self._stage.name, number + 1, 0.0, scale))
        size = targets.shape[1]
        for member in self._members:
            if member.error is None:
                work = member.ws.work
                work.drawn += size
                work.forward += size
                work.backward += size
                work.warmup += 0 if number else size
        return scale

    def _look(self, losses: Tensor, point: Point) -> None:
        """Let the heads whose loss is not finite end here; the others go on."""
        if not bool(torch.isfinite(losses).all()):
            for member in self._members:
                if member.error is None:
                    try:
                        check_loss(losses[member.place], point)
                    except DivergedError as error:
                        member.error = error

    def _note_first(self, point: Point) -> None:
        """Add the first row to every history."""
        self._look(self._losses[0], point)
        for member in self._members:
            if member.error is None:
                here = replace(point, rate=point.rate * member.peak)
                note(member.ws, here, self._losses[0][member.place])

    def _end_epoch(self, point: Point) -> None:
        """Validate every head that is still in the race."""
        losses = torch.stack(self._losses)
        self._losses.clear()
        outputs = self._outputs()
        for member in self._members:
            rate, seed = member.place
            if member.error is None:
                try:
                    here = replace(point, rate=point.rate * member.peak)
                    check_losses(losses[:, rate, seed], here)
                    kept = outputs[seed][rate] if outputs else None
                    self._note(member, here, losses[:, rate, seed], kept)
                except DivergedError as error:
                    member.error = error

    def _outputs(self) -> list[NDArray[np.float32]]:
        """Return for each seed float32 [L, V, C] on validation; empty where there is none."""
        if len(self._pool.val[0]) == 0:
            return []
        with self._ws.clock.measure("eval"):
            return [
                self._bank.outputs(self._pool.rows[positions], seed).cpu().numpy()
                for seed, positions in enumerate(self._pool.val)
            ]

    def _note(
        self,
        member: Member,
        point: Point,
        losses: Tensor,
        outputs: NDArray[np.float32] | None = None,
    ) -> None:
        """Judge one head's outputs on validation, and add a row to its history."""
        ws, found = member.ws, None
        with ws.clock.measure("eval"):
            state = partial(self._bank.state, *member.place)
            if point.is_last:
                check_tensors(state().values(), point)
            if outputs is not None:
                index = ws.data.val_indices
                kept = Predictions(index, ws.data.train.targets[index], outputs)
                found = validated(
                    ws, point, kept, member.best, partial(self._bank.state, *member.place)
                )
        note(ws, point, losses, found)
