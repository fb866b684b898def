"""What several strategies do with their snapshots: start again, and choose on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from sftbench.api import Model, RequestError, Strategy, StrategyContext

T = TypeVar("T")


def needs_validation(strategy: Strategy, ctx: StrategyContext, option: str) -> None:
    """Raise RequestError where an option is to be chosen, and there is no validation split."""
    if ctx.protocol.validation_fraction == 0:
        raise RequestError(
            f"strategy {strategy.name!r} chooses {option} on validation: give its option {option}, "
            "or a protocol with validation_fraction above 0"
        )


def best_of(
    candidates: Sequence[T], load: Callable[[T], None], model: Model, ctx: StrategyContext
) -> T:
    """Return the first candidate with the highest validation metric, and load it.

    Args:
        candidates: At least one.
        load: Makes the model that of a candidate.
        model: Of the cell.
        ctx: Validates it.
    """
    assert ctx.validate is not None  # noqa: S101 - the engine sets it before the first stage
    scores = []
    for candidate in candidates:
        load(candidate)
        scores.append(ctx.validate(model))
    best = candidates[int(np.argmax(scores))]
    load(best)
    return best


def begin_again(model: Model, ctx: StrategyContext) -> None:
    """Give the model the state from before the first stage (`needs_initial_state`)."""
    model.load_state_dict(dict(ctx.snapshots["initial"]))
