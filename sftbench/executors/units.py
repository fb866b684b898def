"""Which cells run as one work unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sftbench.catalog import Catalog
from sftbench.contracts.strategy import Strategy
from sftbench.errors import SftbenchError
from sftbench.names import split_reference
from sftbench.plan import Cell, digest

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
    for cell in cells:
        alone = deterministic or not _together(cell, catalog)
        key = cell.cell_id if alone else _key(cell)
        units.setdefault(key, []).append(cell)
    return [
        tuple(unit[start : start + MOST_CELLS])
        for unit in units.values()
        for start in range(0, len(unit), MOST_CELLS)
    ]


def _together(cell: Cell, catalog: Catalog) -> bool:
    try:
        found = catalog.get("strategy", split_reference(cell.strategy)[0])
    except SftbenchError:  # the cell's own record says so
        return False
    return cast("type[Strategy]", found).heads_together


def _key(cell: Cell) -> str:
    values = cell.model_dump(mode="json", exclude={"seed"})
    del values["protocol"]["rates"]
    return digest(values)
