"""What a person asks for: axes, protocol, baseline. A plan file is the same thing written down."""

import itertools
import re
from typing import Any

from pydantic import field_validator

from sftbench.errors import RequestError, about
from sftbench.names import shown
from sftbench.options import Options

MAX_CELLS = 100_000
# Everything that reads a seed, here or in another language, can hold it.
_MAX_SEED = 2**63 - 1
_SEEDS = re.compile(r"\d{1,20}(-\d{1,20})?(,\d{1,20}(-\d{1,20})?)*", re.ASCII)


class Parts(Options):
    """The parts of a composite strategy: references, and options of each by its name."""

    parts: tuple[str, ...]
    settings: dict[str, dict[str, Any]] = {}


class Request(Options):
    """The axes of a plan and what its cells share.

    `protocol` names one; `changes` are laid over it. `settings` holds options of strategies by
    name: `{"lp-ft": {"head_share": "0.3"}}`. `composites` names strategies made of others, with a
    `+` in each name: `{"lora+balanced-softmax": {"parts": ["lora:4", "balanced-softmax"]}}`.
    `tune` holds what every strategy tries on validation, by key: `{"lr": "1e-4..1e-1:log:5"}`.
    `criteria` changes thresholds of the verdict.
    `seeds` is a count (7: the first seven), a text for `parse_seeds`, or a list.
    """

    backbone: tuple[str, ...] = ("tf_efficientnet_lite0",)
    weights: tuple[str, ...] = ("pretrained",)
    dataset: tuple[str, ...] = ("fashion-mnist-mini",)
    variant: tuple[str, ...] = ("balanced",)
    strategy: tuple[str, ...] = ("head-only", "full", "lp-ft", "scratch")
    seeds: tuple[int, ...] = tuple(range(7))
    protocol: str = "default"
    changes: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    baseline: str = "head-only"
    criteria: dict[str, float] = {}
    composites: dict[str, Parts] = {}
    tune: dict[str, str | float | tuple[float, ...]] = {}

    @field_validator("backbone", "weights", "dataset", "variant", "strategy", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Let a plan file say `strategy = "full"` for a list of one."""
        return (value,) if isinstance(value, str) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: object) -> object:
        """Let a plan file say `seeds = 7` and `seeds = "0-6"`, as the command line does."""
        if not isinstance(value, str | int):
            return value
        with about("seeds"):
            return parse_seeds(str(value))

    @field_validator("backbone", "weights", "dataset", "variant", "strategy", "seeds")
    @classmethod
    def _some(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("at least one is needed")
        return tuple(dict.fromkeys(value))

    @field_validator("composites")
    @classmethod
    def _signed(cls, value: dict[str, Parts]) -> dict[str, Parts]:
        for name in value:
            if "+" not in name or ":" in name:
                raise ValueError(f"write a + and no colon in the name of a composite: {name!r}")
        return value

    @field_validator("seeds")
    @classmethod
    def _in_range(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0 or max(value) > _MAX_SEED:
            raise ValueError("seeds count from 0 to 2**63 - 1")
        return value


# What runs when no axis is named: balanced and long-tailed data, side by side.
MAIN_JOB = {"variant": ("balanced", "longtail:50")}


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of `7` (the first seven: 0 to 6), `0-6`, `3,5,8` or a mixture of the last.

    Raises:
        RequestError: It is none of these, or more than a plan may have cells.
    """
    where = f"seeds {shown(text)}"
    problem = RequestError(f"{where}: write a count (7), a range (0-6) or a list (0,2,5)")
    spaceless = text.replace(" ", "")
    if _SEEDS.fullmatch(spaceless) is None:
        raise problem
    if spaceless.isdigit():
        ranges = [range(int(spaceless))]
    else:
        parts = [part.partition("-") for part in spaceless.split(",")]
        ranges = [range(int(low), int(high or low) + 1) for low, _, high in parts]
    if not all(ranges):
        raise problem
    # Not len(): it cannot say how long a range of more than 2**63 is.
    if sum(numbers.stop - numbers.start for numbers in ranges) > MAX_CELLS:
        raise RequestError(f"{where}: at most {MAX_CELLS:,} seeds")
    return tuple(dict.fromkeys(itertools.chain.from_iterable(ranges)))
