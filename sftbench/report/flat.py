"""The table as flat rows, one a group or one a cell, for CSV, JSON, Parquet and data frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from sftbench.names import one_line
from sftbench.plan import canonical
from sftbench.records import Record, Status, import_source
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.verdicts.comparisons import Comparison

_TEXT_CHARACTERS = 2000

Types = Mapping[str, type]
_ENDS = (*get_args(Status), "missing")
_SECTION: Types = {
    "backbone": str,
    "weights": str,
    "dataset": str,
    "variant": str,
    "protocol": str,
    "protocol_digest": str,
    "task": str,
    "strategy": str,
    "label": str,
    "options": str,
    "algorithm_version": int,
}


def _compared(prefix: str) -> Types:
    return {
        f"{prefix}difference": float,
        f"{prefix}difference_low_population": float,
        f"{prefix}difference_high_population": float,
        f"{prefix}p": float,
        f"{prefix}p_adjusted": float,
        f"{prefix}pairs": int,
        f"{prefix}family": int,
    }


GROUP_COLUMNS: Types = {
    **_SECTION,
    "other_weights": str,
    "metric": str,
    "direction": str,
    "rank": int,
    "seeds_completed": int,
    "seeds_expected": int,
    "mean": float,
    "mean_over_completed": float,
    "mean_low_test_set": float,
    "mean_high_test_set": float,
    "mean_low_population": float,
    "mean_high_population": float,
    "baseline": str,
    **_compared(""),
    **_compared("transfer_"),
    "worst_class_recall": float,
    "seconds_per_cell": float,
    "examples_per_second": float,
    "peak_bytes": int,
    "peak_kind": str,
    **{f"ends_{end}": int for end in _ENDS},
    "seeds_imported": int,
    "verdict": str,
    "arrow": str,
    "reasons": str,
    "evidence": str,
    "missing": str,
    "best": str,
}
"""Columns of a row that is a group, and the type of each; a number may be missing."""

CELL_COLUMNS: Types = {
    **_SECTION,
    "seed": int,
    "cell_id": str,
    "attempt": int,
    "status": str,
    "metric": str,
    "direction": str,
    "value": float,
    "seconds": float,
    "examples_per_second": float,
    "peak_bytes": int,
    "peak_kind": str,
    "imported_from": str,
    "error": str,
    "verdict": str,
}
"""Columns of a row that is a cell; `label` and `verdict` are its group's, over all seeds."""


def rows(table: Table) -> list[dict[str, Any]]:
    """Return one dict a group, every one with the same keys; None where a number is missing.

    Units: metrics as in the records, seconds, bytes. Numbers are not rounded.
    """
    return [group_row(section, row) for section in table.sections for row in section.rows]


def group_row(section: TableSection, row: Row) -> dict[str, Any]:
    """Return one group as a flat dictionary with the keys of `GROUP_COLUMNS`."""
    seeds = row.seed_interval or (None, None)
    population = row.population_interval
    verdict = row.verdict
    return _told(
        {
            **_section(section, row),
            "other_weights": row.other_weights,
            **_metric(section),
            "rank": row.rank,
            "seeds_completed": row.num_completed,
            "seeds_expected": row.num_expected,
            "mean": row.mean,
            "mean_over_completed": row.mean_completed,
            "mean_low_test_set": seeds[0],
            "mean_high_test_set": seeds[1],
            "mean_low_population": population.low if population else None,
            "mean_high_population": population.high if population else None,
            "baseline": section.baseline,
            **_comparison("", row.comparison),
            **_comparison("transfer_", row.transfer),
            "worst_class_recall": row.worst_recall,
            "seconds_per_cell": row.seconds,
            "examples_per_second": row.examples_per_second,
            "peak_bytes": row.peak_bytes,
            "peak_kind": row.peak_kind,
            **{f"ends_{end}": row.ends.get(end, 0) for end in _ENDS},
            "seeds_imported": row.num_imported,
            "verdict": verdict.kind,
            "arrow": verdict.arrow,
            "reasons": " ".join(one.reason for one in verdict.reasons),
            "evidence": "; ".join(f"{one.reason}: {one.text}" for one in verdict.reasons),
            "missing": verdict.missing,
            "best": " ".join(sorted(row.best)),
        }
    )


def cell_rows(section: TableSection, row: Row) -> Iterator[dict[str, Any]]:
    """Yield each cell of a group as a flat dictionary with the keys of `CELL_COLUMNS`."""
    if row.group is None:
        return
    for seed, cell in row.group.cells.items():
        record = row.group.records.get(seed)
        skipped = row.group.skipped.get(seed)
        ran = _ran(section, record) if record and skipped is None else _waits(skipped)
        known = {**_section(section, row), **_metric(section), **ran}
        known |= {"seed": seed, "cell_id": cell.cell_id, "verdict": row.verdict.kind}
        yield _told({name: known[name] for name in CELL_COLUMNS})


def record_of(row: Row, seed: int) -> Record | None:
    """Return the record behind a cell's row."""
    return None if row.group is None else row.group.records.get(seed)


def _ran(section: TableSection, record: Record) -> dict[str, Any]:
    error = record.error
    device = record.memory.peak_device_bytes
    peak = record.memory.peak_rss_bytes if device is None else device
    return {
        "attempt": record.attempt,
        "status": record.status,
        "value": record.value(section.metric.name) if section.metric else None,
        "seconds": record.timing.total_seconds or None,
        "examples_per_second": record.timing.examples_per_second,
        "peak_bytes": peak or None,
        "peak_kind": "" if not peak else "rss" if device is None else "device",
        "imported_from": import_source(record),
        "error": f"{error.type}: {error.message}" if error else "",
    }


def _waits(skipped: str | None) -> dict[str, Any]:
    """Return the end of a cell without a record: skipped by the plan, or missing."""
    return {
        **dict.fromkeys(("attempt", "value", "seconds", "examples_per_second", "peak_bytes")),
        "status": "missing" if skipped is None else "skipped",
        "peak_kind": "",
        "imported_from": "",
        "error": skipped or "",
    }


def _section(section: TableSection, row: Row) -> dict[str, Any]:
    return {
        "backbone": section.backbone,
        "weights": section.weights,
        "dataset": section.dataset,
        "variant": section.variant,
        "protocol": section.protocol.name,
        "protocol_digest": section.protocol_digest,
        "task": section.task,
        "strategy": row.strategy,
        "label": row.label,
        "options": canonical(row.options),
        "algorithm_version": row.version,
    }


def _metric(section: TableSection) -> dict[str, Any]:
    metric = section.metric
    return {
        "metric": metric.name if metric else None,
        "direction": metric.direction if metric else None,
    }


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """Make texts of other people one line that a terminal shows and does not obey."""
    return {
        key: one_line(value, _TEXT_CHARACTERS) if isinstance(value, str) else value
        for key, value in values.items()
    }


def _comparison(prefix: str, one: Comparison | None) -> dict[str, Any]:
    interval = one.interval if one else None
    return {
        f"{prefix}difference": one.estimate if one else None,
        f"{prefix}difference_low_population": interval.low if interval else None,
        f"{prefix}difference_high_population": interval.high if interval else None,
        f"{prefix}p": one.p if one else None,
        f"{prefix}p_adjusted": one.p_adjusted if one else None,
        f"{prefix}pairs": one.num_pairs if one else None,
        f"{prefix}family": one.num_family if one else None,
    }
