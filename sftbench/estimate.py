"""What a plan will cost, by the records at hand, and what its seeds can show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sftbench.plan import Cell, Plan
from sftbench.records import Record

Group = tuple[str, ...]
# The deviation of two differences says next to nothing.
_LEAST_PAIRS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """What the seeds of one comparison of a plan can show.

    Attributes:
        strategy: What is compared.
        against: The baseline.
        num_seeds: Pairs that the plan makes.
        num_comparisons: Of the family that corrects p: those of this plan and of its store.
        smallest_p: That an adjusted p can reach.
        seeds_needed: For the adjusted p to fall below alpha; None where no number does.
        in_deviations: True difference that is detected with 80 % power, in standard deviations of
            the paired differences; None with too few seeds.
        deviation: That standard deviation in the unit of `metric`, by `num_pairs` pairs of records;
            None without three of them.
        difference: The detected difference in the unit of `metric`.
    """

    backbone: str
    weights: str
    dataset: str
    variant: str
    strategy: str
    against: str
    num_seeds: int
    num_comparisons: int
    smallest_p: float
    seeds_needed: int | None
    in_deviations: float | None
    metric: str | None
    num_pairs: int
    deviation: float | None
    difference: float | None


def estimate_seconds(due: Iterable[Group], records: Iterable[Record]) -> float | None:
    """Return worker seconds for due cells: the mean of their groups' records.

    Args:
        due: The group of each cell.
        records: What has run.

    Returns:
        None where some group has no finished record to go by.
    """
    seen: defaultdict[Group, list[float]] = defaultdict(list)
    for record in records:
        if record.status == "ok":
            seen[record.cell.group].append(record.timing.total_seconds)
    total = 0.0
    for group in due:
        times = seen.get(group)
        if not times:
            return None
        total += sum(times) / len(times)
    return total


def detectable(
    plan: Plan,
    cells: Mapping[Group, Sequence[Cell]],
    records: Iterable[Record],
    others: Iterable[Plan],
) -> list[Detectable]:
    """Return what each comparison of a plan can show, in the plan's order.

    Args:
        plan: Whose baseline and criteria hold.
        cells: Its cells to run by group.
        records: Those of the store; pairs of the same two strategies give the deviation.
        others: Plans of the store: what they compare in a section belongs to its family.
    """
    from sftbench.verdicts.criteria import Criteria

    alpha = Criteria().overridden(plan.criteria).alpha
    families: defaultdict[Group, set[Group]] = defaultdict(set)
    section_of = {group: first.section for group, (first, *_) in cells.items()}
    baselines: dict[Group, Group] = {}
    for group, section in section_of.items():
        families[section].add(group)
        if cells[group][0].strategy == plan.baseline:
            baselines.setdefault(section, group)  # of several the first, as the table has it
    for cell in (cell for other in others for cell in other.cells):
        if cell.section in families:
            families[cell.section].add(cell.group)
    values = _values(records)
    found = []
    for group, section in section_of.items():
        baseline = baselines.get(section)
        if baseline is None or baseline == group:
            continue
        num_seeds = len({one.seed for one in cells[group]} & {one.seed for one in cells[baseline]})
        pairs = _pairs(values.get(group, {}), values.get(baseline, {}))
        size = len(families[section]) - 1
        found.append(_shown(cells[group][0], plan.baseline, num_seeds, size, alpha, pairs))
    return found


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Paired differences of two groups in their primary metric."""

    metric: str | None
    differences: tuple[float, ...]


def _values(records: Iterable[Record]) -> dict[Group, dict[tuple[str, int], float]]:
    """Return the primary metric of finished cells by group, then by metric and seed."""
    values: defaultdict[Group, dict[tuple[str, int], float]] = defaultdict(dict)
    for record in records:
        name = record.primary.name if record.primary else ""
        value = record.value(name) if record.status == "ok" and name else None
        if value is not None:
            values[record.cell.group][name, record.cell.seed] = value
    return values


def _pairs(
    mine: Mapping[tuple[str, int], float], theirs: Mapping[tuple[str, int], float]
) -> _Pairs:
    shared = sorted(mine.keys() & theirs.keys())
    metric = shared[0][0] if shared else None
    return _Pairs(metric, tuple(mine[key] - theirs[key] for key in shared if key[0] == metric))


def _shown(
    cell: Cell, against: str, num_seeds: int, num_comparisons: int, alpha: float, pairs: _Pairs
) -> Detectable:
    from sftbench.verdicts.power import smallest_detectable
    from sftbench.verdicts.statistics import seeds_needed, smallest_sign_flip_p

    try:
        needed = seeds_needed(num_comparisons, alpha)
    except ValueError:
        needed = None
    size = smallest_detectable(num_seeds, alpha / num_comparisons)
    deviation = None
    if len(pairs.differences) >= _LEAST_PAIRS:
        deviation = float(np.std(pairs.differences, ddof=1))
    return Detectable(
        backbone=cell.backbone,
        weights=cell.weights,
        dataset=cell.dataset,
        variant=cell.variant,
        strategy=cell.strategy,
        against=against,
        num_seeds=num_seeds,
        num_comparisons=num_comparisons,
        smallest_p=min(1.0, num_comparisons * smallest_sign_flip_p(num_seeds)),
        seeds_needed=needed,
        in_deviations=size,
        metric=pairs.metric,
        num_pairs=len(pairs.differences),
        deviation=deviation,
        difference=None if size is None or deviation is None else size * deviation,
    )
