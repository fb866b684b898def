"""Which cells run as one work unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.strategy import Strategy
from sftbench.errors import SftbenchError
from sftbench.plan import Cell, canonical, digest

MOST_CELLS = 64  # in one unit: its records come at its end, and a unit is lost as a whole


def work_units(
    cells: Sequence[Cell], catalog: Catalog, *, deterministic: bool
) -> list[tuple[Cell, ...]]:
    """Put cells together that differ in seed and learning rates alone.

    Their strategy says whether it can be (`Strategy.heads_together`).

    Args:
        cells: In the order in which they are due; a unit stands where its first cell stood.
        catalog: Where strategies are looked up.
        deterministic: Every cell runs alone: its bits must not depend on its neighbours.
    """
    units: dict[str, list[Cell]] = {}
    together: dict[str, bool] = {}  # by strategy: there may be many cells
    for cell in cells:
        strategy = canonical([cell.strategy, cell.options])
        if strategy not in together:
            together[strategy] = _together(cell, catalog)
        # The settings that a cell tries are a problem of their own.
        alone = deterministic or bool(cell.protocol.tune) or not together[strategy]
        key = cell.cell_id if alone else _key(cell)
        units.setdefault(key, []).append(cell)
    return [part for unit in units.values() for part in _cut(unit)]


def _cut(unit: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """Cut cells into units of at most `MOST_CELLS` that are whole grids of rates and seeds."""
    by_seed: dict[int, list[Cell]] = {}
    for cell in unit:
        by_seed.setdefault(cell.seed, []).append(cell)
    each = max(1, MOST_CELLS // max(map(len, by_seed.values())))
    seeds = list(by_seed)
    parts = []
    for start in range(0, len(seeds), each):
        chosen = set(seeds[start : start + each])
        some = [cell for cell in unit if cell.seed in chosen]
        parts += [
            tuple(some[first : first + MOST_CELLS]) for first in range(0, len(some), MOST_CELLS)
        ]
    return parts


def _together(cell: Cell, catalog: Catalog) -> bool:
    try:
        strategy = cast(Strategy, catalog.create("strategy", cell.strategy, cell.options))
    except SftbenchError:  # the cell's own record says so
        return False
    return strategy.heads_together


def _key(cell: Cell) -> str:
    values = cell.model_dump(mode="json", exclude={"seed"})
    del values["protocol"]["rates"]
    return digest(values)
