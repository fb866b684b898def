"""Training from random weights: the baseline for negative transfer."""

from __future__ import annotations

from sftbench.api import Stage, Strategy, StrategyContext


class Scratch(Strategy):
    """Train the same network from random weights at the same budget, everything at one rate."""

    name = "scratch"
    summary = "train every parameter from random weights"
    claims = frozenset({"weights"})

    def weights(self, requested: str) -> str:
        """Return `none`, whatever the cell asked for."""
        return "none"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train")]
