"""Linear probing, then fine-tuning."""

from __future__ import annotations

from pydantic import Field

from sftbench.api import Options, Stage, Strategy, StrategyContext


class LpFtOptions(Options):
    """`head_share`: share of the budget for the head alone."""

    head_share: float = Field(0.5, gt=0, lt=1)


class LpFt(Strategy):
    """Train the head on frozen features first, then every parameter from there.

    Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", section 3. Both stages share one budget here, and each has a schedule of
    its own.
    """

    name = "lp-ft"
    summary = "the head first, then every parameter"
    options_model = LpFtOptions
    options: LpFtOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return the probe and the fine-tuning."""
        share = self.options.head_share
        return [
            Stage(name="head", trainable=ctx.is_head, share=share),
            Stage(name="train", share=1 - share),
        ]
