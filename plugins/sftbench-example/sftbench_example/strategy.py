"""A strategy: what trains, said as data; the loop is sftbench's."""

from __future__ import annotations

from pydantic import Field

from sftbench.api import Options, Stage, Strategy, StrategyContext


class TopBlocksOptions(Options):
    """`blocks`: how many of the last blocks train; more than there are means all."""

    blocks: int = Field(1, ge=1)


class TopBlocks(Strategy):
    """Train the last blocks of the backbone and the head; freeze what stands before them.

    The frozen blocks run once for each image: sftbench keeps their outputs.

    Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?",
    section 4, with the first n layers frozen.
    """

    name = "top-blocks"
    summary = "train the last N blocks and the head"
    options_model = TopBlocksOptions
    argument = "blocks"
    options: TopBlocksOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        first = ctx.num_blocks - self.options.blocks

        def trainable(name: str) -> bool:
            block = ctx.block_of(name)
            return block is None or block >= first

        return [Stage(name="top", trainable=trainable)]
