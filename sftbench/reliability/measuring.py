"""Every measure that a cell's protocol asks for, one after another."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final, cast

from sftbench.assembly import CellParts
from sftbench.engine.training import Trained
from sftbench.engine.workspace import Workspace
from sftbench.measures import ATTRIBUTION, CORRUPTIONS, DRIFT, FORGETTING, OOD, kind_of
from sftbench.plan import Cell
from sftbench.reliability.subject import Found, Subject
from sftbench.warm import Warm

Measure = Callable[[Subject, str, Found], None]
"""Is given the cell, what follows the measure's colon, and where to write what it finds."""

# Imported where it is asked for: one needs a package of its own.
_MODULES: Final = {
    OOD: "out_of_distribution",
    CORRUPTIONS: "corrupted",
    DRIFT: "drift",
    FORGETTING: "forgetting",
    ATTRIBUTION: "attribution",
}


def measure(cell: Cell, parts: CellParts, ws: Workspace, warm: Warm, trained: Trained) -> Found:
    """Measure what the protocol of a cell asks for, on its selected model.

    The seconds are the clock's `reliability_seconds`.
    """
    found = Found()
    if not cell.protocol.evaluate:
        return found
    with ws.clock.measure("reliability"):
        subject = Subject(cell, parts, ws, warm, trained)
        for asked in cell.protocol.evaluate:
            module = importlib.import_module(f"{__package__}.{_MODULES[kind_of(asked)]}")
            cast(Measure, module.measure)(subject, asked.partition(":")[2], found)
    return found
