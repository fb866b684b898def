"""The settings that each strategy of a plan tries; validation chooses. Pure, without torch."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sftbench.errors import RequestError, about
from sftbench.names import shown, unknown_name
from sftbench.protocol import Protocol, Rates

# What can be tried: peak rates, all at one value or all multiplied, and numbers of the protocol.
KEYS = ("lr", "lr_scale", "weight_decay", "label_smoothing", "mixup", "cutmix", "clip_norm")
MOST_TRIALS = 256
# Heads that differ in these alone train as one batched problem.
OF_OPTIMIZER = frozenset({"lr", "lr_scale", "weight_decay"})
_RANGE = re.compile(r"([^:]+)\.\.([^:]+):(log|lin):(\d{1,3})")


def parse_tune(key: str, given: str | float | Sequence[Any]) -> tuple[float, ...]:
    """Return the values of `1e-4..1e-1:log:5`, `0..0.2:lin:3`, `0.1,0.01`, or of a list.

    Raises:
        RequestError: It is none of these, or there is no such key.
    """
    with about("tune", key):
        if key not in KEYS:
            raise RequestError(unknown_name("setting to tune", key, KEYS))
        problem = RequestError(
            f"tune {key} = {shown(given)}: write LOW..HIGH:log:N, LOW..HIGH:lin:N or V,V,..."
        )
        try:
            values = _values(given)
        except (ValueError, TypeError, OverflowError):
            raise problem from None
        if not values or not all(math.isfinite(value) for value in values):
            raise problem
        return tuple(dict.fromkeys(values))


def _values(given: str | float | Sequence[Any]) -> list[float]:
    if isinstance(given, int | float):
        return [float(given)]
    if not isinstance(given, str):
        return [float(value) for value in given]
    found = _RANGE.fullmatch(given.replace(" ", ""))
    if found is None:
        return [float(part) for part in given.split(",")]
    low, high, scale, count = float(found[1]), float(found[2]), found[3], int(found[4])
    if count < 2 or not low < high or (scale == "log" and low <= 0):
        raise ValueError
    shares = [step / (count - 1) for step in range(count)]
    if scale == "lin":
        return [low + (high - low) * share for share in shares]
    # Twelve digits, so that a decade is a decade: 0.01, not 0.010000000000000002.
    return [float(f"{low * (high / low) ** share:.12g}") for share in shares]


def trials(protocol: Protocol) -> list[tuple[dict[str, float], Protocol]]:
    """Return every combination of the values to try, and the protocol of a cell that has it.

    Raises:
        RequestError: A value that the protocol does not allow, or too many.
    """
    grid = {key: tuple(values) for key, values in sorted(protocol.tune.items())}
    if math.prod(len(values) for values in grid.values()) > MOST_TRIALS:
        raise RequestError(f"tune: at most {MOST_TRIALS} settings for a cell")
    if {"lr", "lr_scale"} <= grid.keys():
        raise RequestError("tune: lr sets the rates that lr_scale multiplies; choose one of them")
    found = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        with about("tune"):
            found.append((chosen, _changed(protocol, chosen)))
    return found


def _changed(protocol: Protocol, chosen: Mapping[str, float]) -> Protocol:
    from sftbench.options import validate

    values = protocol.model_dump() | {"tune": {}}
    rates = protocol.rates.model_dump()
    for key, value in chosen.items():
        if key == "lr":
            values["rates"] = dict.fromkeys(Rates.model_fields, value)
        elif key == "lr_scale":
            values["rates"] = {name: rate * value for name, rate in rates.items()}
        else:
            values[key] = value
    return validate(Protocol, values, "tune")
