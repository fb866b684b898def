"""The results of a store: records, rows, and the table with its verdicts. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError
from sftbench.outcomes import StoreOutcomes
from sftbench.plan import Plan
from sftbench.progress import Progress, silent
from sftbench.records import Record
from sftbench.report.aggregate import Table, aggregate
from sftbench.report.notebook import render_notebook
from sftbench.report.programs import to_arrow
from sftbench.report.selection import Selection, Shown
from sftbench.scoring import StoreScoring
from sftbench.store import Problem, Store, StoreScan
from sftbench.story.tell import Story, tell
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.datasets import Contrast, contrast_pairs
from sftbench.verdicts.evidence import Section
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.selection import Wanted, find_pairs, unknown
from sftbench.verdicts.targets import select

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Results:
    """What a store holds, read once.

    Args:
        path: Folder of the store.
        catalog: Where tasks are looked up; None: the installed plugins.
        baseline: Strategy to compare with, in place of the plans'; a section without it compares
            nothing.

    Raises:
        RequestError: When the plans are read: none of them has the strategy `baseline`.
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
        strategies = [cell.strategy for plan in plans for cell in plan.all_cells]
        if plans and self._baseline not in strategies:
            raise RequestError(unknown("baseline", self._baseline, strategies))
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
        scoring = StoreScoring(self.store, self.catalog)
        return aggregate(self.plans, self.scan.records, scoring, self._criteria)

    @cached_property
    def catalog(self) -> Catalog:
        """Where tasks are looked up."""
        return self._catalog or build_catalog()

    @property
    def _criteria(self) -> Criteria:
        """Those of the plans, the last one's over the others'."""
        criteria = Criteria()
        for plan in self.plans:
            criteria = criteria.overridden(plan.criteria)
        return criteria

    def compare(
        self,
        a: str,
        b: str,
        *,
        metric: str | None = None,
        backbone: str | None = None,
        weights: str | None = None,
        dataset: str | None = None,
        variant: str | None = None,
        protocol: str | None = None,
        num_examples: int = 10,
    ) -> Contrast:
        """Return two groups side by side, in every section that has both.

        Args:
            a: A label of the table, or a strategy.
            b: Likewise; differences are a minus b.
            metric: None: the primary one.
            backbone: Sections of this backbone only, and likewise weights, dataset, variant.
            weights: What they start from.
            dataset: A data set.
            variant: A variant.
            protocol: Name or digest.
            num_examples: Test examples to name in each section, those that differ most.

        Raises:
            RequestError: A name means nothing here, or several groups; the line says what there is.
        """
        wanted = Wanted(
            backbone=backbone, weights=weights, dataset=dataset, variant=variant, protocol=protocol
        )
        sections = find_sections(self.plans, self.scan.records)
        pairs, left_out = find_pairs(sections, a, b, wanted)
        found = contrast_pairs(
            (a, b),
            pairs,
            metric,
            scoring=StoreScoring(self.store, self.catalog),
            outcomes=StoreOutcomes(self.store, self.catalog),
            criteria=self._criteria,
            num_examples=num_examples,
        )
        return replace(found, remarks=(*left_out, *found.remarks))

    def story(
        self,
        target: str,
        *,
        backbone: str | None = None,
        weights: str | None = None,
        dataset: str | None = None,
        variant: str | None = None,
        protocol: str | None = None,
    ) -> Story:
        """Return what there is to tell of one group or cell.

        Args:
            target: A label of the table, a strategy, the number of a row of the table, or the id
                of a cell or at least four digits of its beginning.
            backbone: Sections of this backbone only, and likewise weights, dataset, variant.
            weights: What they start from.
            dataset: A data set.
            variant: A variant.
            protocol: Name or digest.

        Raises:
            RequestError: The target means nothing here, or several things; the line says what
                there is.
        """
        wanted = Wanted(
            backbone=backbone, weights=weights, dataset=dataset, variant=variant, protocol=protocol
        )
        sections = find_sections(self.plans, self.scan.records)
        selected = select(sections, target, wanted, lambda: self._places(sections))
        return tell(selected, self.store, self.scan, self.catalog, self._criteria)

    def _places(self, sections: Sequence[Section]) -> list[tuple[tuple[str, ...], str]]:
        """Return the rows of the table as they are printed: key of the section, and label."""
        pairs = zip(sections, self.table.sections, strict=True)
        return [(section.key, row.label) for section, shown in pairs for row in shown.rows]

    def shown(self, **selection: Any) -> Shown:
        """Return the table as `sftbench report` would show it.

        Args:
            **selection: Fields of `sftbench.report.selection.Selection`: rows, metrics, where ...
        """
        return Shown(self.table, Selection(**selection))

    def rows(self, **selection: Any) -> list[dict[str, Any]]:
        """Return the table's rows as flat dictionaries; arguments as of `shown`."""
        return self.shown(**selection).rows()

    def to_pandas(self, **selection: Any) -> pd.DataFrame:
        """Return the table's rows as a data frame; arguments as of `shown`."""
        import pandas as pd

        return pd.DataFrame(self.rows(**selection))

    def to_arrow(self, **selection: Any) -> pa.Table:
        """Return the table's rows as an Arrow table; arguments as of `shown`."""
        return to_arrow(self.shown(**selection))

    def query(self, sql: str) -> pa.Table:
        """Return what a SELECT over the views of the store finds (docs/formats.md).

        Raises:
            RequestError: The query is not one SELECT, or is wrong.
        """
        from sftbench.query import query_table

        return query_table(self, sql)

    def to_html(self, progress: Progress = silent) -> str:
        """Return the report as one HTML file that needs no network.

        Args:
            progress: Is told how far it is.
        """
        from sftbench.report.html.document import render_html
        from sftbench.report.html.source import Source

        return render_html(
            Source(
                name=self.store.path.resolve().name,
                table=self.table,
                rows=self.rows(),
                sections=find_sections(self.plans, self.scan.records),
                plans=tuple(self.plans),
                problems=tuple((str(one.path), one.reason) for one in self.problems),
                predictions=StoreOutcomes(self.store, self.catalog).logits_of,
            ),
            progress,
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
        """Return the table as plain text; no name in it is obeyed by a terminal."""
        from sftbench.report.terminal import plain_text

        return plain_text(self.table)

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        return render_notebook(self.shown())
