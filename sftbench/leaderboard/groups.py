"""Cells as groups and sections: what stands in a row, and what is ranked with what. No torch."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftbench.leaderboard.reading import Collected, Facts, Run
from sftbench.names import one_line
from sftbench.plan import canonical
from sftbench.verdicts.statistics import seed_interval

Method = tuple[str, str, int]
_MOST_VALUE = 40


@dataclass(frozen=True, slots=True)
class Measure:
    """The primary metric of a board: its name, direction and range."""

    name: str
    direction: str
    low: float
    high: float | None

    @property
    def sign(self) -> float:
        """Of a gain: 1 where larger is better."""
        return -1.0 if self.direction == "min" else 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """One strategy in one section, over its seeds.

    Attributes:
        facts: Of one of its cells.
        label: The strategy, with what tells it from others of its name on this board.
        values: The primary metric of each completed seed, in the order of seeds.
        num_expected: Seeds that a plan names, or that have a record.
        num_skipped: Of those, the ones that every plan skips for a stated reason.
        ends: Number of seeds by status; `missing` has no record.
        seconds: Mean wall-clock of a completed cell.
        trainable: Most parameters that trained at once, of the first completed cell.
        packages: What brought its components, by kind.
        interval: Of the mean, on this test set; None as `mean` is, and for one seed.
    """

    facts: Facts
    label: str
    values: tuple[float, ...]
    num_expected: int
    num_skipped: int
    ends: Mapping[str, int]
    seconds: float | None
    trainable: int | None
    packages: Mapping[str, str]
    interval: tuple[float, float] | None

    @property
    def is_complete(self) -> bool:
        """Whether every expected seed ended well."""
        return 0 < self.num_expected == len(self.values)

    @property
    def mean_completed(self) -> float | None:
        """Mean over completed seeds; None without one."""
        return math.fsum(self.values) / len(self.values) if self.values else None

    @property
    def mean(self) -> float | None:
        """The same; None where an expected seed failed or is missing."""
        return self.mean_completed if self.is_complete else None


@dataclass(frozen=True, slots=True)
class Board:
    """All groups of one task and primary metric: what may stand in one ranking.

    Attributes:
        sections: By section, its groups by method.
        labels: By method.
    """

    task: str
    measure: Measure | None
    sections: Mapping[tuple[str, ...], Mapping[Method, Group]]
    labels: Mapping[Method, str]

    @property
    def groups(self) -> list[Group]:
        """All groups, section by section."""
        return [group for each in self.sections.values() for group in each.values()]

    def within(self, sections: Iterable[tuple[str, ...]]) -> Board:
        """Return a board of some of its sections, with their methods alone."""
        kept = {section: self.sections[section] for section in sections}
        methods = {method for each in kept.values() for method in each}
        labels = {method: label for method, label in self.labels.items() if method in methods}
        return Board(self.task, self.measure, kept, labels)


def boards(found: Collected) -> list[Board]:
    """Return a board for each task and primary metric, the largest first.

    A section whose records name another primary metric than its task's others is a board of its
    own; one without any result goes with the task's largest.
    """
    cells: dict[str, Facts] = {cell_id: run.facts for cell_id, run in found.runs.items()}
    cells |= found.planned
    by_section: dict[tuple[str, ...], dict[Method, list[str]]] = {}
    for cell_id, facts in sorted(cells.items(), key=lambda item: item[1]):
        by_section.setdefault(facts.section, {}).setdefault(facts.method, []).append(cell_id)
    measures = {section: _measure(found, methods) for section, methods in by_section.items()}
    usual = {
        task: Counter(one for section, one in measures.items() if one and section[0] == task)
        for task in {section[0] for section in by_section}
    }
    scopes: dict[tuple[str, Measure | None], list[tuple[str, ...]]] = defaultdict(list)
    for section, measure in measures.items():
        task = section[0]
        known = measure or next(iter(usual[task].most_common(1)), (None,))[0]
        scopes[task, known].append(section)
    made = [
        _board(found, cells, (task, measure), {one: by_section[one] for one in sections})
        for (task, measure), sections in scopes.items()
    ]
    return sorted(made, key=lambda board: (-len(board.groups), board.task))


def _board(
    found: Collected,
    cells: Mapping[str, Facts],
    scope: tuple[str, Measure | None],
    sections: Mapping[tuple[str, ...], Mapping[Method, Sequence[str]]],
) -> Board:
    labels = _labels({method for methods in sections.values() for method in methods})
    return Board(
        *scope,
        {
            section: {
                method: _group(found, cells[ids[0]], labels[method], ids)
                for method, ids in methods.items()
            }
            for section, methods in sections.items()
        },
        labels,
    )


def _group(found: Collected, facts: Facts, label: str, ids: Sequence[str]) -> Group:
    runs = [found.runs[one] for one in ids if one in found.runs]
    completed = [run for run in runs if run.value is not None]
    ends = Counter(run.status for run in runs)
    skipped = sum(one in found.skipped and one not in found.runs for one in ids)
    ends["skipped"] += skipped
    ends["missing"] += len(ids) - len(runs) - skipped
    values = tuple(run.value for run in completed if run.value is not None)
    return Group(
        facts=facts,
        label=label,
        values=values,
        num_expected=len(ids),
        num_skipped=skipped,
        ends={end: count for end, count in sorted(ends.items()) if count},
        seconds=math.fsum(run.seconds for run in completed) / len(completed) if completed else None,
        trainable=completed[0].trainable if completed else None,
        packages=dict(runs[0].packages) if runs else {},
        interval=seed_interval(values) if len(values) == len(ids) else None,
    )


def _measure(found: Collected, methods: Mapping[Method, Sequence[str]]) -> Measure | None:
    """Return the primary metric that most runs of a section name; None without a result."""
    runs: list[Run] = [
        found.runs[one] for ids in methods.values() for one in ids if one in found.runs
    ]
    named = Counter(
        Measure(run.metric, run.direction, run.low, run.high) for run in runs if run.metric
    )
    return named.most_common(1)[0][0] if named else None


def _labels(methods: Iterable[Method]) -> dict[Method, str]:
    """Name methods by strategy, and by the options or version that tell them apart."""
    by_name: dict[str, list[Method]] = defaultdict(list)
    for method in sorted(methods):
        by_name[method[0]].append(method)
    labels = {}
    for name, twins in by_name.items():
        options: list[dict[str, Any]] = [json.loads(options) for _, options, _ in twins]
        keys = sorted({key for one in options for key in one})
        telling = [key for key in keys if len({canonical(one.get(key)) for one in options}) > 1]
        for method, own in zip(twins, options, strict=True):
            parts = [
                f"{key}={one_line(canonical(own[key]), _MOST_VALUE)}"
                for key in telling
                if key in own
            ]
            if len({twin[2] for twin in twins}) > 1:
                parts.append(f"version {method[2]}")
            labels[method] = f"{name} ({', '.join(parts)})" if parts else name
    return labels
