"""From plans and records to a table: pure, deterministic, without torch or plugins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sftbench.plan import Plan
from sftbench.protocol import Protocol
from sftbench.records import MetricSpec, Record, import_source, is_imported
from sftbench.verdicts.comparisons import Comparison, ResampledCache
from sftbench.verdicts.criteria import TRANSFER_REFERENCE, Criteria
from sftbench.verdicts.evidence import Group, Scoring, Section, class_counts
from sftbench.verdicts.judge import Judged, Verdict, judge_section
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.statistics import Interval, seed_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group: everything that a renderer needs.

    Attributes:
        label: Strategy, with what tells groups of one strategy apart.
        options: The strategy's options in full.
        num_completed: n of "n of N", seeds that ended well.
        num_expected: N, seeds that a plan names.
        rank: By mean, 1 is best; equals share one, rows without a mean share the worst; None for
            skipped ones.
        mean: Primary metric over seeds; None where an expected seed failed or is missing.
        mean_completed: The same over completed seeds only.
        seed_interval: Of the mean, *on this test set*.
        population_interval: Of the mean, *in the population*.
        comparison: With the baseline; None for it, and where there is none.
        transfer: With training from random weights.
        worst_recall: Lowest recall of a class, mean over seeds; None as `mean` is.
        seconds: Wall-clock of a completed cell, mean.
        examples_per_second: Of training, mean.
        peak_bytes: Highest over completed cells, of the device where there is one, else RSS.
        peak_kind: `device` or `rss`; empty without a number.
        ends: Number of seeds by status; `missing` has no record.
        other_weights: What its cells start from, where that is not the section's weights.
        num_weights: How many different weights its records started from, by digest; more than
            one, and its seeds are not of one experiment.
        remarks: What the strategy itself says of the first completed seed.
        best: Names of the columns in which it is best, or equal to the best.
        group: What the row was made from: its cells and records by seed.
        num_imported: Records that were brought in from elsewhere (`sftbench.importing`).
        sources: Where those came from.
    """

    label: str
    strategy: str
    options: Mapping[str, object]
    version: int
    num_completed: int
    num_expected: int
    rank: int | None
    mean: float | None
    mean_completed: float | None
    seed_interval: tuple[float, float] | None
    population_interval: Interval | None
    comparison: Comparison | None
    transfer: Comparison | None
    worst_recall: float | None
    seconds: float | None
    examples_per_second: float | None
    peak_bytes: int | None
    peak_kind: str
    ends: Mapping[str, int]
    other_weights: str
    num_weights: int
    verdict: Verdict
    best: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()
    group: Group | None = None
    num_imported: int = 0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSection:
    """Rows that may be compared with each other, the best first.

    `num_family` counts the comparisons with the baseline that the plans make; `units` say what the
    protocol's size counts, and what examples are.
    """

    backbone: str
    weights: str
    dataset: str
    variant: str
    task: str
    protocol: Protocol
    protocol_digest: str
    metric: MetricSpec | None
    baseline: str
    num_family: int
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    units: tuple[str, str] = ("px", "images")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All sections, and the lines that stand under every table."""

    sections: tuple[TableSection, ...]
    criteria: Criteria
    criteria_line: str
    family_line: str
    problems: tuple[str, ...]


def aggregate(
    plans: Sequence[Plan],
    records: Mapping[str, Record],
    scoring: Scoring,
    criteria: Criteria | None = None,
    *,
    baseline: str | None = None,
) -> Table:
    """Return the table of a store.

    Args:
        plans: Every plan of the store, the oldest first: they fix groups, seeds and families.
        records: The latest valid record by cell id.
        scoring: Tasks and predictions.
        criteria: None takes the plans' own (the last plan's, where they disagree).
        baseline: A strategy in place of the plans' baselines.

    Raises:
        RequestError: A plan's criteria have an unknown key or a value that is not allowed.
    """
    problems: list[str] = []
    if criteria is None:
        criteria = _criteria(plans, problems)
    sections = find_sections(plans, records, baseline)
    planned = {cell.cell_id for plan in plans for cell in plan.all_cells}
    orphans = len(records.keys() - planned)
    if orphans:
        problems.append(f"{orphans} records belong to no plan and are left out")
    return Table(
        sections=tuple(table_section(section, scoring, criteria) for section in sections),
        criteria=criteria,
        criteria_line=criteria.line(),
        family_line=(
            "p-values: exact sign-flip over paired seeds, adjusted by Holm over every planned "
            "comparison with the baseline in a section, whatever is shown; NEGATIVE_TRANSFER asks "
            f"another question and has its own family, every comparison with {TRANSFER_REFERENCE}"
        ),
        problems=tuple(problems),
    )


def _criteria(plans: Sequence[Plan], problems: list[str]) -> Criteria:
    if len({tuple(sorted(plan.criteria.items())) for plan in plans}) > 1:
        problems.append("plans disagree on the criteria; the last plan's count")
    return Criteria().overridden(plans[-1].criteria if plans else {})


def table_section(section: Section, scoring: Scoring, criteria: Criteria) -> TableSection:
    """Return the rows of one section, judged and ranked."""
    cache = ResampledCache(scoring)
    judged = judge_section(section, scoring, criteria, cache)
    rows = [_row(one, section, cache, criteria) for one in judged]
    cell = section.cell
    base = section.baseline
    return TableSection(
        backbone=cell.backbone,
        weights=cell.weights,
        dataset=cell.dataset,
        variant=cell.variant,
        task=cell.task,
        protocol=cell.protocol,
        protocol_digest=section.key[-1],
        metric=section.metric,
        baseline=base.label if base else section.baseline_name,
        num_family=len(section.family(base)) if base else 0,
        rows=_marked(_ranked(rows, section.metric), section.metric),
        problems=section.problems,
        units=section.units,
    )


def _row(judged: Judged, section: Section, cache: ResampledCache, criteria: Criteria) -> Row:
    group = judged.group
    records = list(group.completed.values())
    values = list(group.values.values())
    is_complete = not group.lacking and bool(values)
    worst = [float(c.recalls.min()) for one in records if (c := class_counts(one)) is not None]
    peak_bytes, peak_kind = _peak(records)
    clocked = [one for one in records if one.timing.total_seconds > 0 or not is_imported(one)]
    all_clocked = len(clocked) == len(records)
    imported = [one for one in group.records.values() if is_imported(one)]
    return Row(
        label=group.label,
        strategy=group.strategy,
        options=group.cell.options,
        version=group.cell.version,
        num_completed=len(values),
        num_expected=group.num_expected,
        rank=None,
        mean=_mean(values) if is_complete else None,
        mean_completed=_mean(values),
        seed_interval=seed_interval(values, criteria.level) if is_complete else None,
        population_interval=_population(group, cache, criteria) if is_complete else None,
        comparison=judged.comparison,
        transfer=judged.transfer,
        worst_recall=_mean(worst) if is_complete and len(worst) == len(records) else None,
        # An imported record without a clock says nothing about time: it is not the fastest.
        seconds=_mean([one.timing.total_seconds for one in clocked]) if all_clocked else None,
        examples_per_second=_mean(
            [rate for one in records if (rate := one.timing.examples_per_second) is not None]
        ),
        peak_bytes=peak_bytes,
        peak_kind=peak_kind,
        ends=group.ends,
        other_weights=_other_weights(group, section),
        remarks=next((one.remarks for one in records), ())[:5],
        num_weights=_mixed_weights(group),
        verdict=judged.verdict,
        group=group,
        num_imported=len(imported),
        sources=tuple(dict.fromkeys(import_source(one) for one in imported)),
    )


def _population(group: Group, cache: ResampledCache, criteria: Criteria) -> Interval | None:
    mean = _mean(list(group.values.values()))
    if mean is None:
        return None
    return cache.interval(list(group.completed.values()), (), mean, criteria.level)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _peak(records: Sequence[Record]) -> tuple[int | None, str]:
    """Return the highest peak; the process's where a record has none of the device."""
    if not records or any(is_imported(one) for one in records):
        return None, ""
    device = [peak for one in records if (peak := one.memory.peak_device_bytes) is not None]
    if len(device) == len(records):
        return max(device), "device"
    return max(one.memory.peak_rss_bytes for one in records), "rss"


def _other_weights(group: Group, section: Section) -> str:
    """Return what its cells start from where it is not what the section names, else empty."""
    named = section.cell.weights
    # `pretrained` also stands for weights of another source: a file, an own pretraining.
    own = {named} if named == "none" else {named, "pretrained"}
    found: dict[str, None] = {}
    for record in group.records.values():
        weights = record.provenance.get("weights")
        effective = weights.get("effective") if isinstance(weights, dict) else None
        if isinstance(effective, str) and effective not in own:
            found[effective] = None
    return ", ".join(found)


def _mixed_weights(group: Group) -> int:
    """Return how many different weights its records started from, by their digests."""
    found = {
        weights.get("digest")
        for record in group.records.values()
        if isinstance(weights := record.provenance.get("weights"), dict)
    }
    return len(found)


def _ranked(rows: list[Row], metric: MetricSpec | None) -> list[Row]:
    """Return rows with ranks, the best first; a missing or failed seed ranks last."""
    sign = -1.0 if metric is not None and metric.direction == "min" else 1.0
    shown = [row for row in rows if row.verdict.kind != "skipped"]
    means = [sign * row.mean for row in shown if row.mean is not None]

    def rank(row: Row) -> int | None:
        if row.verdict.kind == "skipped":
            return None
        if row.mean is None:
            return len(shown)
        mine = sign * row.mean
        return 1 + sum(other > mine and not _equal(other, mine) for other in means)

    ranked = [replace(row, rank=rank(row)) for row in rows]
    # Sorting is stable: rows of one rank stay in the order of the plan.
    return sorted(ranked, key=lambda row: (row.rank is None, row.rank or 0))


def _marked(rows: list[Row], metric: MetricSpec | None) -> tuple[Row, ...]:
    """Flag the best values of each column, equals too, among rows without a missing seed."""
    full = [row for row in rows if row.mean is not None]
    is_min = metric is not None and metric.direction == "min"
    columns: dict[str, tuple[Callable[[Row], float | None], bool]] = {
        "mean": (lambda row: row.mean, is_min),
        "worst_recall": (lambda row: row.worst_recall, False),
        "seconds": (lambda row: row.seconds, True),
        "examples_per_second": (lambda row: row.examples_per_second, False),
    }
    # The memory of a device and of a process are two things: no best where both occur.
    if len({row.peak_kind for row in full}) == 1:
        columns["peak_bytes"] = (lambda row: row.peak_bytes, True)
    flags: dict[str, set[str]] = {row.label: set() for row in rows}
    for name, (value, lowest) in columns.items():
        found = [(row.label, number) for row in full if (number := value(row)) is not None]
        if not found:
            continue
        best = (min if lowest else max)(number for _, number in found)
        for label, number in found:
            if _equal(number, best):
                flags[label].add(name)
    return tuple(replace(row, best=frozenset(flags[row.label])) for row in rows)


def _equal(a: float, b: float) -> bool:
    """Tell whether two means differ by rounding alone."""
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
