"""What a plan will cost, by the records at hand, and what its seeds can show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sftbench.plan import Cell, Plan
from sftbench.records import Record


def estimate_seconds(due: Sequence[Cell], records: Iterable[Record]) -> float | None:
    """Return worker seconds for the due cells: the mean of their groups' records.

    None where some group has no finished record to go by.
    """
    seen: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for record in records:
        if record.status == "ok":
            seen[record.cell.group].append(record.timing.total_seconds)
    total = 0.0
    for cell in due:
        times = seen.get(cell.group)
        if not times:
            return None
        total += sum(times) / len(times)
    return total


def detectable(plan: Plan) -> list[str]:
    """Return a line on what the plan's seeds can show: a p-value has a smallest value."""
    from sftbench.verdicts.statistics import seeds_needed, smallest_sign_flip_p

    lines = []
    groups: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    seeds: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
    for cell in plan.cells:
        groups[cell.section].add(cell.group)
        seeds[cell.section].add(cell.seed)
    shapes = {(len(groups[section]) - 1, len(seeds[section])) for section in groups}
    for comparisons, count in sorted(shapes):
        if comparisons < 1:
            continue
        smallest = min(1.0, comparisons * smallest_sign_flip_p(count))
        needed = seeds_needed(comparisons)
        enough = "enough for a verdict" if count >= needed else f"a verdict needs {needed} seeds"
        lines.append(
            f"{count} seeds against {comparisons} comparisons: adjusted p can reach "
            f"{smallest:.3f}; {enough}"
        )
    return lines
