"""The linear probe."""

from __future__ import annotations

from sftbench.api import Stage, Strategy, StrategyContext


class HeadOnly(Strategy):
    """Train the head alone; the backbone stays in eval mode, its buffers bit-identical.

    The features of each image are computed once, from one unaugmented view.

    Source: Alain & Bengio 2016, "Understanding intermediate layers using linear classifier
    probes"; here on the last features alone.
    """

    name = "head-only"
    summary = "train the head on frozen features"
    heads_together = True

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage that trains the head."""
        return [Stage(name="head", trainable=ctx.is_head)]
