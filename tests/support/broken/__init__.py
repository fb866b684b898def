"""Components that each break one rule of the contract checks, with the rule and its words."""

from support.broken import backbones, data, execution, strategies, tasks
from support.broken.noted import BROKEN

__all__ = ["BROKEN", "backbones", "data", "execution", "strategies", "tasks"]
