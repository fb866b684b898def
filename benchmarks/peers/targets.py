"""The table "To reach": what was promised, what was measured, whether it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.peers.ratios import Spread


@dataclass(frozen=True, slots=True)
class Target:
    """One row.

    Attributes:
        key: Of the comparison that measures it.
        item: The letter of the work.
        text: What is compared.
        sense: Whether more or less is better.
        cpu: The bound on a CPU.
        cuda: The bound on one CUDA GPU; None: there is none.
    """

    key: str
    item: str
    text: str
    sense: str
    cpu: float
    cuda: float | None


TARGETS: Final = (
    Target("bare", "a", "full fine-tuning, images/s, against the bare step", ">=", 0.95, 0.95),
    Target("peers", "a", "full fine-tuning, against the best of the peers", ">=", 1.7, 1.5),
    Target("large", "b", "ResNet-50, precision auto, against the article", ">=", 2.4, 2),
    Target("head", "c", "head-only, 10 epochs, against the article", ">=", 30, 20),
    Target("many", "d", "10 seeds x 5 rates of head-only, against one", "<=", 2, 1.3),
    Target("passes", "e", "second head-only strategy, backbone passes", "<=", 0, 0),
    Target("grid", "f", "grid of 5 strategies, against the article", ">=", 2.2, 2),
    Target("frozen-grid", "g", "grid of 8 on a frozen backbone, likewise", ">=", 100, 60),
    Target("help", "h", "sftbench --help, against import click", "<=", 3, None),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is shown: `measured` and `verdict` are texts."""

    text: str
    cpu: str
    cuda: str
    measured: str
    verdict: str


def rows(measured: Mapping[str, Spread], device: str, *, quick: bool) -> list[Row]:
    """Return the whole table; what was not measured says so.

    The median is held against the bound of the device that was measured.
    """
    return [_row(target, measured.get(target.key), device, quick=quick) for target in TARGETS]


def reached(target: Target, spread: Spread, device: str) -> bool | None:
    """Tell whether the median keeps the bound; None where the device has none."""
    bound = target.cuda if device == "cuda" else target.cpu
    if bound is None:
        return None
    return spread.median >= bound if target.sense == ">=" else spread.median <= bound


def _row(target: Target, spread: Spread | None, device: str, *, quick: bool) -> Row:
    cuda = "-" if target.cuda is None else f"{target.sense} {target.cuda:g}"
    shown, verdict = "not measured", "-"
    if spread is not None:
        shown = f"{spread.median:g}" if target.key == "passes" else str(spread)
        kept = reached(target, spread, device)
        verdict = "no bound" if kept is None else "reached" if kept else "NOT REACHED"
        if quick:
            verdict = "quick"
    return Row(target.text, f"{target.sense} {target.cpu:g}", cuda, shown, verdict)
