"""Learning rates that fall from the head to the stem, and blocks that thaw one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

from pydantic import Field

from sftbench.api import Options, ParamRule, Stage, Strategy, StrategyContext
from sftbench.builtin.strategies.partial import from_block


def rule_by_depth(
    ctx: StrategyContext, factor: float, least: float = 0.0
) -> Callable[[str], ParamRule]:
    """Return the rule scale = max(least, factor^depth); depth counts blocks down from the head, 0.

    Args:
        ctx: Of the cell.
        factor: From a block to the one before it.
        least: The smallest scale.
    """

    def rule(name: str) -> ParamRule:
        block = ctx.block_of(name)
        depth = 0 if block is None else ctx.num_blocks - block
        return ParamRule(scale=max(least, factor**depth))

    return rule


def rule_below_head(ctx: StrategyContext, divisor: float) -> Callable[[str], ParamRule]:
    """Return the rule that gives a block the rate of the next / divisor, and the last the head's.

    The protocol has a rate of its own for a pretrained backbone: it is replaced by the head's.
    """
    by_depth = rule_by_depth(ctx, 1 / divisor)
    rates = ctx.protocol.rates
    start = rates.head / rates.backbone if ctx.pretrained else 1.0

    def rule(name: str) -> ParamRule:
        scale = by_depth(name).scale
        return ParamRule(scale=scale * start if name.startswith("backbone.") else scale)

    return rule


class LayerDecayOptions(Options):
    """`decay`: of the rate from a block to the one before it; `least`: the smallest factor."""

    decay: float = Field(0.75, gt=0, le=1)
    least: float = Field(0.0, ge=0, le=1)


class LayerDecay(Strategy):
    """Train everything, block i of L layers (the head is the last) at max(least, d^(L - 1 - i)).

    Source: Clark et al. 2020 (ELECTRA), section 3.1, in the form of timm's
    `param_groups_layer_decay`; here layers are the backbone's blocks. The factors multiply the
    protocol's rates, so the backbone's own rate applies too.
    """

    name = "layer-decay"
    summary = "full, with rates that fall from block to block towards the stem"
    claims = frozenset({"rates"})
    options_model = LayerDecayOptions
    options: LayerDecayOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        rule = rule_by_depth(ctx, self.options.decay, self.options.least)
        return [Stage(name="train", rule=rule)]


class UlmfitOptions(Options):
    """`divisor`: what the rate is divided by from a block to the one before it."""

    divisor: float = Field(2.6, ge=1)


class DiscriminativeLr(Strategy):
    """Train everything with the rate of a block = that of the next / 2.6, on slanted triangles.

    The ladder hangs from the head, so the last block has the head's rate / 2.6 and the protocol's
    rate of the backbone does not matter. A layer there is a block here: of a network of many
    blocks the first hardly move.

    Source: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
    section 3.2 (equations 2 and 3).
    """

    name = "discriminative-lr"
    summary = "full, each block at the next one's rate / 2.6, slanted triangular rates (ULMFiT)"
    claims = frozenset({"rates"})
    options_model = UlmfitOptions
    options: UlmfitOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        rule = rule_below_head(ctx, self.options.divisor)
        return [Stage(name="train", rule=rule, schedule="slanted")]


class GradualUnfreeze(Strategy):
    """Train the head for an epoch, then one more group of blocks from the top in each epoch.

    Where there are fewer epochs than blocks, a group has several, so that everything trains in the
    last epoch; with one epoch or less everything trains at once. Optimiser and schedule go on from
    stage to stage. Rates fall by `divisor` from block to block, beginning at the head's; with 1
    they are the protocol's.

    Source: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
    section 3.3 (gradual unfreezing) with 3.2 (discriminative rates, slanted triangles).
    """

    name = "gradual-unfreeze"
    summary = "the head first, one more group of blocks in each epoch (ULMFiT)"
    claims = frozenset({"trainable", "rates"})
    options_model = UlmfitOptions
    options: UlmfitOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return a stage for each epoch, up to the one in which everything trains."""
        epochs, blocks = float(ctx.protocol.epochs), ctx.num_blocks
        count = min(math.ceil(epochs), blocks + 1)
        divisor = self.options.divisor
        rule = None if divisor == 1 else rule_below_head(ctx, divisor)
        stages = []
        for number in range(count):
            last = number == count - 1
            thawed = blocks if last else math.ceil(number * blocks / max(1, count - 1))
            stages.append(
                Stage(
                    name=f"epoch-{number + 1}",
                    trainable=from_block(ctx, blocks - thawed),
                    share=1 - (count - 1) / epochs if last else 1 / epochs,
                    rule=rule,
                    schedule="slanted",
                    carry=number > 0,
                )
            )
        return stages
