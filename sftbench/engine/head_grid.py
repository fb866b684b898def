"""Which cells can train their heads together: their grid of rates and seeds, and its examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sftbench.contracts.strategy import Stage
from sftbench.engine.epochs import Best
from sftbench.engine.head_bank import Signature
from sftbench.engine.optimizers import recipes
from sftbench.engine.stage import Span, drawn
from sftbench.engine.training import stages_of
from sftbench.engine.workspace import Workspace
from sftbench.errors import DivergedError
from sftbench.models.freezing import choose_trainable

# Their update of an element looks at that element alone, so a stack of heads trains as each would.
_ELEMENTWISE = frozenset(
    {"sgd", "nesterov", "momentum", "adam", "adamw", "nadam", "nadamw", "adamax", "radam",
     "rmsprop", "adagrad", "adadelta"}
)  # fmt: skip
_HEAD = ("head.weight", "head.bias")


@dataclass(slots=True)
class Member:
    """One cell of the problem: its place (rate, seed) in the grid, and what becomes of it."""

    ws: Workspace
    stage: Stage
    span: Span
    signature: Signature
    plan: NDArray[np.int64]
    best: Best = field(default_factory=Best)
    place: tuple[int, int] = (0, 0)
    error: DivergedError | None = None

    @property
    def peak(self) -> float:
        """The highest of its peak rates."""
        return max(recipe.peak for recipe in self.signature)


def member_of(ws: Workspace) -> Member | None:
    """Return a cell as part of a batched problem, or None where it needs more than that."""
    head = ws.model.head
    plain = not ws.strategy.adapts and not ws.strategy.finalises
    if not (ws.strategy.heads_together and plain and not ws.strategy.needs_initial_state):
        return None
    if type(head) is not nn.Linear or head.bias is None or not ws.task.labels:
        return None
    if ws.protocol.optimizer not in _ELEMENTWISE:
        return None
    [(stage, span), *others] = stages_of(ws)
    special = (stage.streams, stage.update, stage.after_step, stage.eval_model, stage.prepare)
    if others or stage.solver or any(special):
        return None
    if tuple(choose_trainable(ws.model, stage.trainable)) != _HEAD:
        return None
    found = recipes(ws.model.named_parameters(), stage, ws.ctx)
    weight, bias = (found[name] for name in _HEAD)
    plan = drawn(ws, stage, span)
    return Member(ws, stage, span, (weight, bias), plan)


def place(members: Sequence[Member]) -> bool:
    """Give every member its place in a grid of rates and seeds; False where there is none."""
    rates = list(dict.fromkeys(member.signature for member in members))
    seeds: dict[int, int] = {}
    for member in members:
        seed = member.ws.ctx.generator("order").initial_seed()
        place = seeds.setdefault(seed, len(seeds))
        member.place = (rates.index(member.signature), place)
    places = {member.place for member in members}
    full = len(places) == len(members) == len(rates) * len(seeds)
    # A loss may know the class counts, and all heads share one.
    alike = {(len(one.plan), tuple(one.ws.data.train_counts.tolist())) for one in members}
    return full and len(alike) == 1


@dataclass(frozen=True, slots=True)
class Pool:
    """The examples of every seed, their features gathered once.

    Attributes:
        rows: Features [U, D] of whatever any seed trains or validates on, on the device.
        order: int64 [S, draws], positions in `rows` as they are drawn, on the device.
        targets: int64 [S, draws], on the device.
        val: For each seed int64 [V], positions in `rows`.
    """

    rows: Tensor
    order: Tensor
    targets: Tensor
    val: Sequence[Tensor]

    @classmethod
    def of(cls, members: Sequence[Member]) -> Pool | None:
        """Compute what is missing; None where the features do not fit."""
        seeds = [one for one in sorted(members, key=lambda one: one.place) if one.place[0] == 0]
        ws = seeds[0].ws
        with ws.clock.measure("data_wait"):
            data = [one.ws.data for one in seeds]
            wanted = np.unique(
                np.concatenate([i for d in data for i in (d.train_indices, d.val_indices)])
            )
            k = ws.model.network.num_blocks
            found = ws.feature_rows(ws.model, ws.data.train, k, wanted)
            if found is None:
                return None
            drawn = [d.train_indices[one.plan] for d, one in zip(data, seeds, strict=True)]
            targets = [d.train_targets[one.plan] for d, one in zip(data, seeds, strict=True)]

            def there(positions: NDArray[np.int64]) -> Tensor:
                return torch.from_numpy(np.searchsorted(wanted, positions)).to(ws.device)

            return cls(
                rows=found[torch.from_numpy(wanted)],
                order=there(np.stack(drawn)),
                targets=torch.from_numpy(np.stack(targets)).to(ws.device),
                val=[there(d.val_indices) for d in data],
            )
