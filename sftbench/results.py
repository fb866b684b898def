"""The results of a store: records, rows, and the table with its verdicts. No torch."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError
from sftbench.labelled_predictions import LabelledPredictions
from sftbench.plan import Plan
from sftbench.records import Record
from sftbench.report.aggregate import Table, aggregate
from sftbench.report.flat import rows
from sftbench.report.markdown import render_markdown
from sftbench.scoring import StoreScoring
from sftbench.store import Problem, Store, StoreScan
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.sections import find_sections

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """What a store holds, read once.

    Args:
        path: Folder of the store.
        catalog: Where tasks are looked up; None: the installed plugins.
        baseline: Strategy to compare with, in place of the plans'.
    """

    def __init__(
        self, path: str | Path, *, catalog: Catalog | None = None, baseline: str | None = None
    ) -> None:
        self.store = Store(Path(path))
        self._catalog = catalog
        self._baseline = baseline

    @cached_property
    def scan(self) -> StoreScan:
        """Records, attempts and problems."""
        return self.store.scan()

    @cached_property
    def plans(self) -> list[Plan]:
        """The plans of the store, oldest first."""
        plans = self.store.plans()
        if self._baseline is None:
            return plans
        return [plan.model_copy(update={"baseline": self._baseline}) for plan in plans]

    @property
    def records(self) -> list[Record]:
        """The latest valid attempt of each cell."""
        return list(self.scan.records.values())

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files that were left alone, and why."""
        return self.scan.problems

    @cached_property
    def table(self) -> Table:
        """Groups with statistics and verdicts."""
        catalog = self._catalog or build_catalog()
        criteria = Criteria()
        for plan in self.plans:
            criteria = criteria.overridden(plan.criteria)
        return aggregate(self.plans, self.scan.records, StoreScoring(self.store, catalog), criteria)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table's rows as flat dictionaries."""
        return rows(self.table)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table's rows as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def to_html(self) -> str:
        """Return the report as one HTML file that needs no network."""
        from sftbench.report.html.document import render_html
        from sftbench.report.html.source import Source

        catalog = self._catalog or build_catalog()
        return render_html(
            Source(
                name=self.store.path.resolve().name,
                table=self.table,
                rows=self.rows(),
                sections=find_sections(self.plans, self.scan.records),
                plans=tuple(self.plans),
                problems=tuple((str(one.path), one.reason) for one in self.problems),
                predictions=LabelledPredictions(self.store, catalog).of,
            )
        )

    def check(self) -> None:
        """Raise RequestError where there is nothing to report."""
        if not self.plans:
            problems = f" ({len(self.problems)} files could not be read)" if self.problems else ""
            raise RequestError(
                f"no plan in {self.store.path}{problems}; sftbench run --out {self.store.path}"
            )

    def exit_code(self, plan: Plan) -> int:
        """Return 0 where every cell of the plan ended well, else 1."""
        records = self.scan.records
        ended = [records.get(cell.cell_id) for cell in plan.cells]
        return 0 if all(record is not None and record.status == "ok" for record in ended) else 1

    def __str__(self) -> str:
        """Return the table in Markdown."""
        return render_markdown(self.table)
