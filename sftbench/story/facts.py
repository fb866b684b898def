"""What rules of advice may know, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sftbench.records import Record
from sftbench.report.aggregate import Row, TableSection
from sftbench.report.wording import number
from sftbench.story.calibration import Calibration
from sftbench.story.confusion import Confusion
from sftbench.story.curves import Rise
from sftbench.verdicts.comparisons import margin_of
from sftbench.verdicts.criteria import Criteria


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to try.

    Attributes:
        what: To do, in words.
        because: The numbers of the records that say so.
        change: Words of a command line of `sftbench run`; empty where it needs none.
    """

    what: str
    because: str
    change: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What rules may know.

    Attributes:
        section: Rows that are compared with each other, judged.
        row: The one that the story is of.
        records: Of its seeds, of whatever end.
        criteria: Thresholds.
        rises: How validation loss went, by seed that has two measurements of it.
        calibration: Of the stored predictions; None without any.
        confusion: Likewise.
        remedies: By reason, the strategies that are said to mend it, as a person types them.
        reused: Labels of rows whose cells ran no frozen prefix: its outputs were there already.
    """

    section: TableSection
    row: Row
    records: Mapping[int, Record]
    criteria: Criteria
    rises: Mapping[int, Rise]
    calibration: Calibration | None
    confusion: Confusion | None
    remedies: Mapping[str, Sequence[str]]
    reused: frozenset[str] = frozenset()

    @property
    def metric(self) -> str:
        """Name of the primary metric."""
        return self.section.metric.name if self.section.metric else "metric"

    @property
    def margin(self) -> float:
        """Least difference that counts, in the metric's unit."""
        metric = self.section.metric
        return self.criteria.margin if metric is None else margin_of(metric, self.criteria)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Names of the reasons that hold for the row."""
        return tuple(one.reason for one in self.row.verdict.reasons)

    def gain(self, other: Row) -> float | None:
        """Return how much better another row is in the mean; None where one has none."""
        if other.mean is None or self.row.mean is None:
            return None
        is_min = self.section.metric is not None and self.section.metric.direction == "min"
        return self.row.mean - other.mean if is_min else other.mean - self.row.mean

    def value(self, value: float) -> str:
        """Return a value of the primary metric as text."""
        return number(value, self.section.metric)

    @property
    def ended(self) -> dict[str, list[Record]]:
        """Records by how they ended."""
        found: dict[str, list[Record]] = {}
        for record in self.records.values():
            found.setdefault(record.status, []).append(record)
        return found

    def evidence(self, reason: str) -> str:
        """Return the evidence of a reason that holds."""
        found = [one for one in self.row.verdict.reasons if one.reason == reason]
        return "; ".join(f"{one.seeds}: {one.text}" if one.seeds else one.text for one in found)


Rule = Callable[[Facts], Sequence[Advice]]
