"""The words and numbers that every rendering of a table shares; nothing here is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sftbench.records import MetricSpec
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.verdicts.statistics import Interval

NONE = "-"
OTHER_WEIGHTS = "†"


def number(
    value: float, metric: MetricSpec | None, *, signed: bool = False, compact: bool = False
) -> str:
    """Return a metric's value: three decimals for a proportion, four figures for others.

    `compact` drops the zero before the point of a proportion: `.841`.
    """
    sign = "+" if signed else ""
    if metric is not None and metric.range != (0.0, 1.0):
        return f"{value:{sign}.4g}"
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if compact and abs(value) < 0.9995 else text


def headings(table: Table, section: TableSection) -> list[str]:
    """Return the names of the columns."""
    level = f"{100 * table.criteria.level:g} %"
    return [
        "strategy",
        "n/N",
        f"{section.metric.name if section.metric else 'metric'} [{level} of seeds]",
        f"Δ to {section.baseline} [{level} population]",
        "p",
        "worst class",
        "s per cell",
        "MB",
        "verdict",
    ]


# The column of `Row.best` behind each heading; None where no row can be best.
BEST = (
    None,
    None,
    "mean",
    None,
    None,
    "worst_recall",
    "seconds",
    "peak_bytes",
    None,
)


def cells(section: TableSection, row: Row, *, compact: bool = False) -> list[str]:
    """Return one row's texts, without marks for the best."""
    verdict = row.verdict
    is_skipped = verdict.kind == "skipped"
    return [
        f"{row.label} {OTHER_WEIGHTS}" if row.other_weights else row.label,
        NONE if is_skipped else f"{row.num_completed}/{row.num_expected}",
        NONE if is_skipped else _mean(section.metric, row, compact=compact),
        _difference(section, row, compact=compact),
        _p_value(row, compact=compact),
        NONE if row.worst_recall is None else _short(row.worst_recall, compact=compact),
        NONE if row.seconds is None else _three_figures(row.seconds),
        NONE if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        f"{verdict.kind} {verdict.arrow}".strip(),
    ]


def title(section: TableSection) -> str:
    """Return the section's heading."""
    return f"{section.backbone} · {section.weights} · {section.dataset} / {section.variant}"


def protocol_line(section: TableSection) -> str:
    """Return what every row of the section shares."""
    protocol = section.protocol
    rates = protocol.rates
    size, examples = section.units
    parts = [
        f"{protocol.epochs:g} epochs",
        f"batch {protocol.batch_size}",
        f"{protocol.image_size} {size}",
        f"{protocol.optimizer} {protocol.schedule}",
        f"rates {rates.head_alone:g}/{rates.head:g}/{rates.backbone:g}/{rates.scratch:g}",
        protocol.precision,
        f"selected by {protocol.selection}",
    ]
    if protocol.tune:
        tried = math.prod(len(values) for values in protocol.tune.values())
        parts.append(f"{' x '.join(sorted(protocol.tune))} chosen from {tried} on validation")
    if isinstance(protocol.limit_train, int):
        parts.append(f"{protocol.limit_train} training {examples}")
    if isinstance(protocol.limit_test, int):
        parts.append(f"{protocol.limit_test} test {examples}")
    return f"protocol {protocol.name} ({', '.join(parts)}) {section.protocol_digest}"


def notes(section: TableSection) -> Iterator[str]:
    """Yield the lines under a section: reasons, what is missing, skips, other weights."""
    for row in section.rows:
        verdict = row.verdict
        for one in verdict.reasons:
            seeds = f" ({one.seeds})" if one.seeds else ""
            yield f"{row.label}: {one.reason}{seeds}: {one.text}"
        for remark in row.remarks:
            yield f"{row.label}: {remark}"
        if verdict.missing:
            yield f"{row.label}: {verdict.kind}: {verdict.missing}"
        if row.other_weights:
            yield f"{row.label} {OTHER_WEIGHTS}: starts from other weights: {row.other_weights}"
        if row.num_weights > 1:
            yield (
                f"{row.label}: its records start from {row.num_weights} different weights of one "
                "name (provenance.weights.digest); run them again with --force"
            )
        if verdict.kind != "skipped" and row.ends.keys() - {"ok"}:
            ends = ", ".join(f"{count} {end}" for end, count in row.ends.items())
            yield f"{row.label}: ends: {ends}"
    for problem in section.problems:
        yield f"note: {problem}"


def legend(table: Table, best: str) -> Iterator[str]:
    """Yield the lines at the end; `best` says how the best are marked."""
    level = f"{100 * table.criteria.level:g} %"
    yield table.criteria_line
    yield table.criteria.soft_line()
    yield table.family_line
    yield (
        f"[{level} of seeds] is of the mean on this test set: only seeds vary; "
        f"[{level} population] is of the paired difference: seeds and test examples vary"
    )
    yield (
        "n/N: seeds that ended well (n of N planned); where they differ the mean is null and ranks "
        "last, and the mean over completed seeds stands in brackets"
    )
    yield f"{best}; MB: peak of the device, else of the process; p: adjusted"
    for section in table.sections:
        if section.num_family:
            yield f"Holm family of {title(section)}: {section.num_family} comparisons"
    for problem in table.problems:
        yield f"note: {problem}"


def _mean(metric: MetricSpec | None, row: Row, *, compact: bool) -> str:
    if row.mean is not None:
        text = number(row.mean, metric, compact=compact)
        if row.seed_interval is None:
            return text
        low, high = (number(end, metric, compact=compact) for end in row.seed_interval)
        return f"{text} [{low}, {high}]"
    if row.mean_completed is None:
        return NONE
    completed = number(row.mean_completed, metric, compact=compact)
    return f"{NONE} ({completed} over {row.num_completed})"


def _difference(section: TableSection, row: Row, *, compact: bool) -> str:
    comparison = row.comparison
    if comparison is None or comparison.lacking or comparison.estimate is None:
        return NONE
    text = number(comparison.estimate, section.metric, signed=True, compact=compact)
    if comparison.interval is None:
        return text
    return f"{text} {_brackets(comparison.interval, section.metric, compact=compact)}"


def _brackets(interval: Interval, metric: MetricSpec | None, *, compact: bool) -> str:
    low, high = (
        number(end, metric, signed=True, compact=compact) for end in (interval.low, interval.high)
    )
    return f"[{low}, {high}]"


def _p_value(row: Row, *, compact: bool) -> str:
    p = row.comparison.p_adjusted if row.comparison else None
    if p is None:
        return NONE
    if p < 0.001:
        return "<.001" if compact else "<0.001"
    return number(p, None, compact=compact)


def _short(value: float, *, compact: bool) -> str:
    text = f"{value:.2f}"
    return text[1:] if compact and text.startswith("0") else text


def _three_figures(value: float) -> str:
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )
