"""Training one group of blocks, the one that validation likes best."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from sftbench.api import Model, Options, RequestError, Stage, Strategy, StrategyContext
from sftbench.builtin.strategies.choosing import begin_again, best_of, needs_validation


class SurgicalOptions(Options):
    """`group`: which group of blocks trains, 0 the stem's; None: chosen. `groups`: how many."""

    group: int | None = Field(None, ge=0)
    groups: int = Field(4, ge=1, le=64)


class Surgical(Strategy):
    """Train one contiguous group of blocks and the head.

    Blocks are cut into `groups` of about equal number. Half of the budget tries them, an equal part
    each and each from the start; the one with the best validation metric goes on with the other
    half from where its trial ended. The record has it as the measure `group`. A `group` that is
    given has the whole budget.

    Source: Lee et al. 2023, "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts",
    section 2; there the block is chosen by full runs on validation.
    """

    name = "surgical"
    summary = "train the one group of blocks that validation chooses, and the head"
    needs_initial_state = True
    needs_snapshots = True
    options_model = SurgicalOptions
    options: SurgicalOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return a trial for each group, and the rest for the best; or one stage."""
        count = min(self.options.groups, ctx.num_blocks)
        fixed = self.options.group
        if fixed is not None:
            if fixed >= count:
                raise RequestError(f"surgical.group = {fixed}: there are groups 0 to {count - 1}")
            return [Stage(name="train", trainable=_only(ctx, fixed, count))]
        needs_validation(self, ctx, "group")
        chosen = [0]

        def go_on(model: Model, ctx: StrategyContext) -> None:
            def load(group: int) -> None:
                model.load_state_dict(dict(ctx.snapshots[f"end:group-{group}"]))

            chosen[0] = best_of(range(count), load, model, ctx)
            ctx.measures["group"] = float(chosen[0])

        trials = [
            Stage(
                name=f"group-{group}",
                trainable=_only(ctx, group, count),
                share=0.5 / count,
                prepare=begin_again,
            )
            for group in range(count)
        ]

        def trainable(name: str) -> bool:
            return _only(ctx, chosen[0], count)(name)  # known when the stage begins

        last = Stage(
            name="train",
            trainable=trainable,
            share=0.5,
            prepare=go_on,
        )
        return [*trials, last]


def _only(ctx: StrategyContext, group: int, count: int) -> Callable[[str], bool]:
    """Return who trains: the head, and the blocks of one of `count` groups."""

    def trainable(name: str) -> bool:
        block = ctx.block_of(name)
        return ctx.is_head(name) if block is None else block * count // ctx.num_blocks == group

    return trainable
