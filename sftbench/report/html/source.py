"""What the page is made from: each row of the table with the records behind it, and its links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftbench.contracts.task import Predictions
from sftbench.pages.page import anchor
from sftbench.plan import Plan, canonical, digest
from sftbench.records import Record
from sftbench.report import wording
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.verdicts.evidence import Group, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Everything that the page shows.

    Attributes:
        name: Of the store.
        table: The rows and verdicts that every format shows.
        rows: The same as flat rows, which the page embeds.
        sections: Groups with their records; more than the table has do not matter.
        plans: Of the store.
        problems: Files that were left alone: path and reason.
        predictions: Logits of the test split (selected weights) where examples have one label;
            None where they are not kept, or mean something else.
    """

    name: str
    table: Table
    rows: list[dict[str, Any]]
    sections: tuple[Section, ...]
    plans: tuple[Plan, ...]
    problems: tuple[tuple[str, str], ...]
    predictions: Callable[[Record], Predictions | None]


@dataclass(frozen=True, slots=True)
class RowView:
    """A row with its group; `key` names both in links."""

    row: Row
    group: Group
    key: str

    @property
    def id(self) -> str:
        """Where links to the row lead."""
        return f"row-{self.key}"


@dataclass(frozen=True, slots=True)
class SectionView:
    """A section with its rows, best first; `title` is of this section alone."""

    section: TableSection
    rows: tuple[RowView, ...]
    key: str
    title: str

    @property
    def id(self) -> str:
        """Where links to the section lead."""
        return f"section-{self.key}"

    @property
    def metric(self) -> str:
        """The primary metric's name."""
        return self.section.metric.name if self.section.metric else "metric"


def views(source: Source) -> list[SectionView]:
    """Return the table's sections with the records behind them."""
    groups = {section.key: {g.key[5:]: g for g in section.groups} for section in source.sections}
    titles = Counter(wording.title(section) for section in source.table.sections)
    return [_view(section, groups, titles) for section in source.table.sections]


def strategy_id(name: str) -> str:
    """Return where links to a strategy lead."""
    return anchor("strategy", name)


def styles(found: Sequence[SectionView]) -> dict[str, int]:
    """Return the number of each label's colour and marker: one strategy, one look on the page."""
    labels = dict.fromkeys(view.row.label for section in found for view in section.rows)
    return {label: number for number, label in enumerate(labels)}


def _view(
    section: TableSection,
    groups: Mapping[tuple[str, ...], Mapping[tuple[str, ...], Group]],
    titles: Mapping[str, int],
) -> SectionView:
    key = (
        section.backbone,
        section.weights,
        section.dataset,
        section.variant,
        section.protocol_digest,
    )
    own = groups[key]
    title = wording.title(section)
    if titles[title] > 1:
        title = f"{title} · {section.protocol.name} {section.protocol_digest[:6]}"
    rows = []
    for row in section.rows:
        group = own[row.strategy, canonical(row.options), str(row.version)]
        rows.append(RowView(row, group, digest(list(group.key))))
    return SectionView(section, tuple(rows), digest(list(key)), title)
