"""Full fine-tuning."""

from __future__ import annotations

from sftbench.api import Stage, Strategy, StrategyContext


class Full(Strategy):
    """Train every parameter from the cell's weights, head and backbone at rates of their own.

    Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?"
    """

    name = "full"
    summary = "train every parameter"
    claims = frozenset[str]()

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train")]
