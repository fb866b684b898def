"""The table of a plan's groups that fills as cells end, for a run and for who watches one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from sftbench.names import one_line
from sftbench.plan import Plan
from sftbench.records import Record

_MAX_ROWS = 24


class GroupTable:
    """Counts ends and means by group.

    Args:
        plan: Whose groups.
    """

    def __init__(self, plan: Plan) -> None:
        self._cells = {cell.cell_id: cell for cell in plan.cells}
        self._planned = Counter(cell.group for cell in plan.cells)
        self._names = {cell.group: cell for cell in plan.cells}
        self._records: dict[str, Record] = {}

    def note(self, record: Record) -> None:
        """Take a record in; a later one of the same cell replaces it."""
        if record.cell_id in self._cells:
            self._records[record.cell_id] = record

    def render(self, running: Mapping[str, str]) -> Table:
        """Return the table, groups at work first.

        Args:
            running: What is told of the cells at work, by id.
        """
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("data", "strategy", "done", "test so far", "other ends", "now"):
            table.add_column(name, overflow="ellipsis", no_wrap=True, min_width=len(name))
        active: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for cell_id, text in running.items():
            cell = self._cells[cell_id]
            active[cell.group].append(f"seed {cell.seed}: {text}")
        ends, values = self._counted()
        first = sorted(self._names, key=lambda group: (not active[group], group))[:_MAX_ROWS]
        for group in [group for group in self._names if group in first]:
            cell = self._names[group]
            found = values[group]
            other = ", ".join(f"{n} {end}" for end, n in ends[group].items() if end != "ok")
            table.add_row(
                Text(one_line(f"{cell.dataset} / {cell.variant}")),
                Text(one_line(cell.strategy)),
                f"{ends[group].total()}/{self._planned[group]}",
                f"{sum(found) / len(found):.3f}" if found else "",
                Text(other),
                Text(one_line("; ".join(active[group]))),
            )
        return table

    def _counted(
        self,
    ) -> tuple[
        defaultdict[tuple[str, ...], Counter[str]], defaultdict[tuple[str, ...], list[float]]
    ]:
        ends: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        values: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        for record in self._records.values():
            group = record.cell.group
            ends[group][record.status] += 1
            primary = record.primary
            value = record.value(primary.name) if primary else None
            if value is not None:
                values[group].append(value)
        return ends, values
