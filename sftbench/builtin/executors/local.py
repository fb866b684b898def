"""Cells in spawned workers that stay warm between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sftbench.api import Cell, Event, Executor, Job


class Local(Executor):
    """One worker for each device (on a CPU one for each core, up to four), replaced if it dies."""

    name = "local"
    summary = "in spawned workers that stay warm"

    def run(self, cells: Sequence[Cell], job: Job, emit: Callable[[Event], None]) -> None:
        """Run every cell.

        Raises:
            KeyboardInterrupt: The user stopped; cells in flight have `interrupted` records.
        """
        from sftbench.discovery import build_catalog
        from sftbench.executors.pool import Pool
        from sftbench.executors.units import work_units

        catalog = build_catalog(chosen=job.plugins)
        Pool(job, emit).run(work_units(cells, catalog, deterministic=job.deterministic))
