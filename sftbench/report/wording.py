"""The words and numbers that every rendering of a table shares; nothing here is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sftbench.records import MetricSpec
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.verdicts.statistics import Interval

NONE = "-"
OTHER_WEIGHTS = "†"


@dataclass(frozen=True, slots=True)
class Style:
    """How numbers are written.

    Attributes:
        compact: Without the zero before the point of a proportion: `.841`.
        digits: After the point of a proportion; a worst class has one less.
    """

    compact: bool = False
    digits: int = 3


_PLAIN = Style()


def number(
    value: float, metric: MetricSpec | None, style: Style = _PLAIN, *, signed: bool = False
) -> str:
    """Return a metric's value: three decimals for a proportion, four figures for others."""
    sign = "+" if signed else ""
    if metric is not None and metric.range != (0.0, 1.0):
        return f"{value:{sign}.{style.digits + 1}g}"
    return _without_zero(f"{value:{sign}.{style.digits}f}", style)


def _without_zero(text: str, style: Style) -> str:
    bare = text.lstrip("+-")
    return text.replace("0.", ".", 1) if style.compact and bare.startswith("0.") else text


def headings(table: Table, section: TableSection) -> list[str]:
    """Return the names of the columns."""
    level = f"{100 * table.criteria.level:g} %"
    return [
        "strategy",
        "n/N",
        f"{section.metric.name if section.metric else 'metric'} {of_seeds(table)}",
        f"Δ to {section.baseline} [{level} population]",
        "p",
        "worst class",
        "s per cell",
        "MB",
        "verdict",
    ]


def of_seeds(table: Table) -> str:
    """Return what stands behind the name of a metric: whose interval is shown."""
    return f"[{100 * table.criteria.level:g} % of seeds]"


def mixed_heading(table: Table, name: str) -> str:
    """Return the heading of a column of several sections, which do not agree on it."""
    if name == "mean":
        return f"metric {of_seeds(table)}"
    return f"Δ to the baseline [{100 * table.criteria.level:g} % population]"


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


def cells(section: TableSection, row: Row, *, compact: bool = False, digits: int = 3) -> list[str]:
    """Return one row's texts, without marks for the best."""
    style = Style(compact, digits)
    verdict = row.verdict
    is_skipped = verdict.kind == "skipped"
    return [
        f"{row.label} {OTHER_WEIGHTS}" if row.other_weights else row.label,
        NONE if is_skipped else f"{row.num_completed}/{row.num_expected}",
        NONE if is_skipped else _mean(section.metric, row, style),
        _difference(section, row, style),
        p_value(row.comparison.p_adjusted if row.comparison else None, style),
        NONE if row.worst_recall is None else _short(row.worst_recall, style),
        NONE if row.seconds is None else three_figures(row.seconds),
        NONE if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        f"{verdict.kind} {verdict.arrow}".strip(),
    ]


def title(section: TableSection) -> str:
    """Return the section's heading."""
    return f"{section.backbone} · {section.weights} · {section.dataset} / {section.variant}"


def protocol_line(section: TableSection) -> str:
    """Return what every row of the section shares."""
    protocol = section.protocol
    if section.rows and all(row.num_imported == row.num_expected for row in section.rows):
        told = f"imported results: settings are their source's ({protocol.name})"
        return f"{told} {section.protocol_digest}"
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


def notes(section: TableSection, rows: Sequence[Row] | None = None) -> Iterator[str]:
    """Yield the lines under a section: reasons, what is missing, skips, other weights.

    Args:
        section: What they stand under.
        rows: Those of it that are shown; None: all.
    """
    for row in section.rows if rows is None else rows:
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
        if row.num_imported:
            yield (
                f"{row.label}: imported: {row.num_imported} of {row.num_expected} seeds come from "
                f"{', '.join(row.sources) or 'elsewhere'} and were not run here"
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


def over_seeds(
    mean: float | None,
    over_completed: float | None,
    num_completed: int,
    interval: tuple[float, float] | None,
    metric: MetricSpec | None,
    style: Style,
) -> str:
    """Return a mean with its interval; where a seed lacks, what the others say in brackets."""
    if mean is not None:
        text = number(mean, metric, style)
        if interval is None:
            return text
        low, high = (number(end, metric, style) for end in interval)
        return f"{text} [{low}, {high}]"
    if over_completed is None:
        return NONE
    return f"{NONE} ({number(over_completed, metric, style)} over {num_completed})"


def p_value(p: float | None, style: Style = _PLAIN) -> str:
    """Return a p-value; below what the digits can show, that."""
    if p is None:
        return NONE
    least = 10.0**-style.digits
    if p < least:
        return "<" + number(least, None, style)
    return number(p, None, style)


def _mean(metric: MetricSpec | None, row: Row, style: Style) -> str:
    return over_seeds(
        row.mean, row.mean_completed, row.num_completed, row.seed_interval, metric, style
    )


def _difference(section: TableSection, row: Row, style: Style) -> str:
    comparison = row.comparison
    if comparison is None or comparison.lacking or comparison.estimate is None:
        return NONE
    text = number(comparison.estimate, section.metric, style, signed=True)
    if comparison.interval is None:
        return text
    return f"{text} {_brackets(comparison.interval, section.metric, style)}"


def _brackets(interval: Interval, metric: MetricSpec | None, style: Style) -> str:
    low, high = (number(end, metric, style, signed=True) for end in (interval.low, interval.high))
    return f"[{low}, {high}]"


def _short(value: float, style: Style) -> str:
    return _without_zero(f"{value:.{max(1, style.digits - 1)}f}", style)


def three_figures(value: float) -> str:
    """Return a number of which only the size matters: seconds, a rate."""
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )
