"""Training the last blocks, and the head."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from sftbench.api import Options, Stage, Strategy, StrategyContext


class PartialOptions(Options):
    """`blocks`: how many of the last blocks train; 0: the head alone; more than there are: all."""

    blocks: int = Field(1, ge=0)


class Partial(Strategy):
    """Train the last K blocks and the head; what stands before them stays, buffers included.

    The outputs of the frozen blocks are computed once for each image, from one unaugmented view.

    Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?",
    section 4, with the first n layers frozen.
    """

    name = "partial"
    summary = "train the last K blocks and the head"
    options_model = PartialOptions
    argument = "blocks"
    options: PartialOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        trainable = from_block(ctx, ctx.num_blocks - self.options.blocks)
        return [Stage(name="train", trainable=trainable)]


def from_block(ctx: StrategyContext, first: int) -> Callable[[str], bool]:
    """Return who trains: the blocks from `first` on, and all that is no block's."""

    def trainable(name: str) -> bool:
        block = ctx.block_of(name)
        return block is None or block >= first

    return trainable
