"""The table as flat rows, one a group, for CSV, JSON and data frames."""

from __future__ import annotations

from typing import Any, get_args

from sftbench.names import one_line
from sftbench.plan import canonical
from sftbench.records import Status
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.verdicts.comparisons import Comparison

_TEXT_CHARACTERS = 2000


def rows(table: Table) -> list[dict[str, Any]]:
    """Return one dict a group, every one with the same keys; None where a number is missing.

    Units: metrics as in the records, seconds, bytes. Numbers are not rounded.
    """
    return [_row(section, row) for section in table.sections for row in section.rows]


def _row(section: TableSection, row: Row) -> dict[str, Any]:
    seeds = row.seed_interval or (None, None)
    population = row.population_interval
    verdict = row.verdict
    metric = section.metric
    values: dict[str, Any] = {
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
        "other_weights": row.other_weights,
        "metric": metric.name if metric else None,
        "direction": metric.direction if metric else None,
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
        **{f"ends_{end}": row.ends.get(end, 0) for end in (*get_args(Status), "missing")},
        "verdict": verdict.kind,
        "arrow": verdict.arrow,
        "reasons": " ".join(one.reason for one in verdict.reasons),
        "evidence": "; ".join(f"{one.reason}: {one.text}" for one in verdict.reasons),
        "missing": verdict.missing,
        "best": " ".join(sorted(row.best)),
    }
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
