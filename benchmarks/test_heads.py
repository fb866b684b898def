"""Heads of many seeds on the same features, as work units of the executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sftbench.api import Cell
from sftbench.executors.units import work_units
from sftbench.unit import run_unit
from sftbench.warm import Warm


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
@pytest.mark.parametrize("num_seeds", [1, 10])
def test_seeds(
    benchmark: Any,
    cells: Callable[..., Sequence[Cell]],
    new_warm: Callable[[], Warm],
    num_seeds: int,
    *,
    together: bool,
) -> None:
    """Cells of head-only, five epochs each, on features that are in memory."""
    warm = new_warm()
    asked = cells("head-only", seeds=range(num_seeds), epochs=5, limit_test=16)
    units = work_units(asked, warm.catalog, deterministic=not together)

    def run() -> None:
        for unit in units:
            for record, _ in run_unit(unit, warm, lambda _cells: lambda *_: None):
                assert record.status == "ok"

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
