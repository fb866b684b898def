"""Why a cell or a group counts as a failure, or is to be handled with care.

Each reason is a pure function of what records hold, and gives its evidence in words. A cell's
reason looks at one seed; `hold_over_seeds` says what holds for the group.

    ends.py         DIVERGED, RESOURCE, CRASHED
    learning.py     NO_LEARNING, MINORITY_COLLAPSE
    soft.py         OVERFIT, MISCALIBRATED, FORGETTING, FRAGILE
    distortion.py   OOD_DISTORTION
    over_seeds.py   UNSTABLE, NEGATIVE_TRANSFER, and what most seeds share
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sftbench.records import Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts, class_counts
from sftbench.verdicts.reasons.distortion import ood_distortions
from sftbench.verdicts.reasons.ends import crashed, diverged, resource
from sftbench.verdicts.reasons.finding import Finding
from sftbench.verdicts.reasons.learning import minority_collapse, no_learning
from sftbench.verdicts.reasons.over_seeds import hold_over_seeds, negative_transfer, unstable
from sftbench.verdicts.reasons.soft import (
    SOFT_REASONS,
    Anchor,
    forgetting,
    fragile,
    miscalibrated,
    overfit,
)

__all__ = [
    "CELL_REASONS",
    "END_REASONS",
    "REASONS",
    "SOFT_REASONS",
    "Anchor",
    "CellReason",
    "Finding",
    "cell_findings",
    "crashed",
    "diverged",
    "forgetting",
    "fragile",
    "hold_over_seeds",
    "minority_collapse",
    "miscalibrated",
    "negative_transfer",
    "no_learning",
    "ood_distortions",
    "overfit",
    "resource",
    "unstable",
]

CellReason = Callable[[Record, ClassCounts | None, Criteria], Finding | None]

CELL_REASONS: Mapping[str, CellReason] = {
    "DIVERGED": diverged,
    "RESOURCE": resource,
    "CRASHED": crashed,
    "NO_LEARNING": no_learning,
    "MINORITY_COLLAPSE": minority_collapse,
}
"""The hard reasons of one cell."""

REASONS: tuple[str, ...] = (
    *CELL_REASONS,
    "NEGATIVE_TRANSFER",
    *SOFT_REASONS,
    "OOD_DISTORTION",
    "UNSTABLE",
)
"""Every reason, hard ones first: what a task may name in `Task.reasons`."""

# What a record's end says needs no task: these apply where the task is not installed.
END_REASONS = frozenset({"DIVERGED", "RESOURCE", "CRASHED"})


def cell_findings(
    record: Record, applicable: frozenset[str], criteria: Criteria, anchor: Anchor
) -> tuple[Finding, ...]:
    """Return every reason that one cell meets, hard ones first.

    Args:
        record: Of the cell, of whatever end.
        applicable: Names of the reasons that its task knows.
        criteria: Thresholds.
        anchor: What a head on frozen features measured in the same section.
    """
    counts = class_counts(record)
    hard = [check(record, counts, criteria) for n, check in CELL_REASONS.items() if n in applicable]
    soft = [check(record, anchor, criteria) for n, check in SOFT_REASONS.items() if n in applicable]
    return tuple(one for one in [*hard, *soft] if one is not None)
