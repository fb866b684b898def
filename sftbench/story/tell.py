"""The whole story of a group, or of one of its cells, from the records of a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sftbench.catalog import Catalog
from sftbench.records import MetricSpec, Record
from sftbench.report import wording
from sftbench.report.aggregate import Row, TableSection, table_section
from sftbench.scoring import StoreScoring
from sftbench.store import Store, StoreScan
from sftbench.story.advice import advise
from sftbench.story.calibration import Calibration, calibration_of
from sftbench.story.classes import ClassRow, class_rows
from sftbench.story.confusion import Confusion, confusion_of
from sftbench.story.curves import Curve, curves_of, rise_of
from sftbench.story.ends import End, ends_of
from sftbench.story.facts import Advice, Facts
from sftbench.story.measured import (
    Measured,
    distortion_criteria,
    reason_criteria,
    success_criteria,
)
from sftbench.story.mistakes import Mistake, worst_mistakes
from sftbench.story.outputs import StoreReader, read_all
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Section
from sftbench.verdicts.reasons import END_REASONS, Anchor
from sftbench.verdicts.targets import Selected

_MOST_MISTAKES = 24


@dataclass(frozen=True, slots=True)
class CellLine:
    """One cell of the group: its value is of the primary metric, on the test split."""

    seed: int
    cell_id: str
    status: str
    value: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What there is to tell; nothing in it is escaped.

    Attributes:
        label: Of the group.
        seed: Where the story is of one cell; None: of the group.
        section: Heading of the section, and the line of its protocol.
        metric: The primary one.
        row: Of the table: the verdict is the group's, also where the story is of one cell.
        cells: Of the group, whatever the story is of.
        curves: By seed.
        classes: The one that suffered most first.
        compared: Labels of the groups that classes are compared with.
        confusion: None where no class can be read from predictions.
        mistakes: The worst first.
        calibration: None likewise.
        unread: Why some of the three above lack, or lack seeds.
        success: What a success needs.
        reasons: Every reason that was measured.
        ends: Cells that did not end well.
        advice: What to try next.
        notes: What a reader must know beside.
        first: A record that ended well, whose test split the mistakes are of.
    """

    label: str
    seed: int | None
    section: tuple[str, str]
    metric: MetricSpec | None
    row: Row
    cells: tuple[CellLine, ...]
    curves: tuple[Curve, ...]
    classes: tuple[ClassRow, ...]
    compared: tuple[str, ...]
    confusion: Confusion | None
    mistakes: tuple[Mistake, ...]
    calibration: Calibration | None
    unread: tuple[str, ...]
    success: tuple[Measured, ...]
    reasons: tuple[Measured, ...]
    ends: tuple[End, ...]
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]
    first: Record | None

    @property
    def title(self) -> str:
        """What the story is of, in words."""
        return self.label if self.seed is None else f"{self.label}, seed {self.seed}"


def tell(
    selected: Selected, store: Store, scan: StoreScan, catalog: Catalog, criteria: Criteria
) -> Story:
    """Return the story of a group or cell.

    Args:
        selected: Which.
        store: Where predictions are kept.
        scan: What the store holds.
        catalog: Where tasks are looked up, and strategies that mend a reason.
        criteria: Thresholds.
    """
    section, group = selected.section, selected.group
    scoring = StoreScoring(store, catalog)
    table = table_section(section, scoring, criteria)
    row = next(one for one in table.rows if one.label == group.label)
    told = group if selected.seed is None else _one_cell(group, selected.seed)
    others = _others(section, group)
    outputs, unread = read_all(StoreReader(store, catalog), told.completed)
    calibration, confusion = calibration_of(outputs), confusion_of(outputs)
    kept = (one for other in section.groups for one in other.records.values())
    reasons = scoring.reasons_of(section.cell.task, kept)
    curves = curves_of(told.records)
    rises = {one.seed: rise for one in curves if (rise := rise_of(one)) and one.seed is not None}
    facts = Facts(
        section=table,
        row=row,
        records=told.records,
        criteria=criteria,
        rises=rises,
        calibration=calibration,
        confusion=confusion,
        remedies=remedies_of(catalog),
        reused=frozenset(one.label for one in section.groups if _is_reused(one)),
    )
    return Story(
        label=group.label,
        seed=selected.seed,
        section=(wording.title(table), wording.protocol_line(table)),
        metric=section.metric,
        row=row,
        cells=tuple(_cell_line(group, seed) for seed in group.cells),
        curves=curves,
        classes=class_rows(told.completed, {one.label: one.completed for one in others}),
        compared=tuple(one.label for one in others),
        confusion=confusion,
        mistakes=worst_mistakes(outputs, _MOST_MISTAKES),
        calibration=calibration,
        unread=unread,
        success=success_criteria(group, row.comparison, criteria),
        reasons=(
            *reason_criteria(
                told,
                END_REASONS if reasons is None else reasons,
                criteria,
                anchor=Anchor.of(None if group is section.frozen else section.frozen),
                transfer=row.transfer,
            ),
            *distortion_criteria(section, group, criteria, is_met=_has(row, "OOD_DISTORTION")),
        ),
        ends=ends_of(told.records, scan.attempts),
        advice=advise(facts),
        notes=tuple(_notes(table, row)),
        first=next(iter(told.completed.values()), None),
    )


def remedies_of(catalog: Catalog) -> dict[str, list[str]]:
    """Return the strategies that are said to mend each reason, as a person types them."""
    found: dict[str, list[str]] = {}
    for offer in catalog.listing("strategy"):
        for reason in offer.against:
            found.setdefault(reason, []).append(offer.signature)
    return found


def _has(row: Row, reason: str) -> bool:
    return any(one.reason == reason for one in row.verdict.reasons)


def _one_cell(group: Group, seed: int) -> Group:
    """Return the group as if it had one seed."""
    return replace(
        group,
        cells={seed: group.cells[seed]},
        skipped={one: why for one, why in group.skipped.items() if one == seed},
        records={one: record for one, record in group.records.items() if one == seed},
    )


def _others(section: Section, group: Group) -> list[Group]:
    """Return the groups that classes are compared with: baseline, and frozen features."""
    found = {one.key: one for one in (section.baseline, section.frozen) if one is not None}
    return [one for key, one in found.items() if key != group.key]


def _is_reused(group: Group) -> bool:
    """Whether its frozen prefix never ran in its cells: their seconds are then not all it costs."""
    records = list(group.completed.values())
    return bool(records) and all(
        record.counts.prefix_forward == 0 and any(stage.cached_features for stage in record.stages)
        for record in records
    )


def _cell_line(group: Group, seed: int) -> CellLine:
    cell_id = group.cells[seed].cell_id
    if seed in group.skipped:
        return CellLine(seed, cell_id, "skipped", None, None)
    record = group.records.get(seed)
    if record is None:
        return CellLine(seed, cell_id, "missing", None, None)
    seconds = record.timing.total_seconds or None
    return CellLine(seed, cell_id, record.status, group.values.get(seed), seconds)


def _notes(table: TableSection, row: Row) -> Iterator[str]:
    """Yield what a reader must know: of the strategy, the weights, and the section."""
    yield from row.remarks
    if row.other_weights:
        yield f"starts from other weights: {row.other_weights}"
    if row.num_weights > 1:
        yield f"its records start from {row.num_weights} different weights of one name"
    yield from table.problems
