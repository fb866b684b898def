"""The sections and groups that the plans of a store expect, filled with its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sftbench.names import one_line
from sftbench.plan import Cell, Plan, canonical
from sftbench.records import Record
from sftbench.verdicts.criteria import FROZEN_REFERENCE, TRANSFER_REFERENCE
from sftbench.verdicts.evidence import Group, Section


@dataclass
class _Draft:
    """A section while plans are read."""

    baseline_name: str = ""
    cells: dict[tuple[str, ...], dict[int, Cell]] = field(default_factory=dict)
    skipped: dict[tuple[str, ...], dict[int, str]] = field(default_factory=dict)
    problems: dict[str, None] = field(default_factory=dict)

    def add(self, cell: Cell, reason: str | None) -> None:
        """Take a cell in; of two for one seed the later counts, and a planned one over a skip."""
        cells = self.cells.setdefault(cell.group, {})
        skips = self.skipped.setdefault(cell.group, {})
        before = cells.get(cell.seed)
        if reason is not None:
            if before is None:
                cells[cell.seed] = cell
                skips[cell.seed] = reason
            return
        if before is not None and before != cell and cell.seed not in skips:
            self.problems[f"{cell.strategy}: several cells a seed; the last plan's count"] = None
        cells[cell.seed] = cell
        skips.pop(cell.seed, None)


def find_sections(
    plans: Sequence[Plan], records: Mapping[str, Record], baseline: str | None = None
) -> tuple[Section, ...]:
    """Return the sections of all plans, in their order.

    The plans alone say what is expected; records of other cells are not looked at.

    Args:
        plans: Of the store, the oldest first. Where they disagree on a baseline, the last counts.
        records: The latest valid record by cell id.
        baseline: In place of the plans' baselines.
    """
    drafts: dict[tuple[str, ...], _Draft] = {}
    for plan in plans:
        name = baseline or plan.baseline
        reasons = {skip.cell.cell_id: skip.reason for skip in plan.skipped}
        for cell in plan.all_cells:
            draft = drafts.setdefault(cell.section, _Draft())
            if draft.baseline_name not in ("", name):
                draft.problems[f"plans name several baselines; {name} counts, the last"] = None
            draft.baseline_name = name
            draft.add(cell, reasons.get(cell.cell_id))
    return tuple(_section(key, draft, records) for key, draft in drafts.items())


def _section(key: tuple[str, ...], draft: _Draft, records: Mapping[str, Record]) -> Section:
    found = {
        group: {
            seed: records[cell.cell_id]
            for seed, cell in sorted(cells.items())
            if cell.cell_id in records
        }
        for group, cells in draft.cells.items()
    }
    specs = [one.primary for each in found.values() for one in each.values() if one.primary]
    metric = specs[0] if specs else None
    labels = _labels({group: next(iter(cells.values())) for group, cells in draft.cells.items()})
    groups = tuple(
        Group(
            key=group,
            label=labels[group],
            cells=dict(sorted(cells.items())),
            skipped=draft.skipped[group],
            records=found[group],
            metric=metric,
        )
        for group, cells in draft.cells.items()
    )
    problems = list(draft.problems)
    if len({(spec.name, spec.direction) for spec in specs}) > 1:
        problems.append(f"records disagree on the primary metric; {specs[0].name} is shown")
    kept = [one for each in found.values() for one in each.values()]
    problems += [*_left_out(kept), *_noted(kept)]
    name = draft.baseline_name
    roles = {
        role: _role(groups, strategy, problems)
        for role, strategy in (
            ("baseline", name),
            ("reference", TRANSFER_REFERENCE),
            ("frozen", FROZEN_REFERENCE),
        )
    }
    return Section(
        key=key,
        groups=groups,
        baseline_name=name,
        metric=metric,
        problems=tuple(dict.fromkeys(problems)),  # one strategy may have two roles
        units=_units(kept),
        **roles,
    )


def _left_out(records: Sequence[Record]) -> list[str]:
    """Say how many examples of the data set these records left out as unreadable."""
    lines: dict[str, None] = {}
    for record in records:
        data = record.provenance.get("data")
        counts = data.get("unreadable") if isinstance(data, dict) else None
        if isinstance(counts, dict):
            numbers = {split: counts.get(split) for split in ("train", "test")}
            parts = [f"{n} {split}" for split, n in numbers.items() if isinstance(n, int) and n > 0]
            if parts:
                lines[f"examples left out because they cannot be read: {', '.join(parts)}"] = None
    return list(lines)


def _noted(records: Sequence[Record]) -> list[str]:
    """Say what these records note of how examples were brought into their form."""
    lines: dict[str, None] = {}
    for record in records:
        data = record.provenance.get("data")
        notes = data.get("notes") if isinstance(data, dict) else None
        for split, counts in notes.items() if isinstance(notes, dict) else ():
            if counts and isinstance(counts, dict) and all(type(n) is int for n in counts.values()):
                parts = [f"{count} {one_line(str(name), 40)}" for name, count in counts.items()]
                lines[f"{one_line(str(split), 20)} data: {', '.join(parts)}"] = None
    return list(lines)


def _units(records: Sequence[Record]) -> tuple[str, str]:
    """Return what the size counts, and what examples are: where nobody says, pixels of images."""
    for record in records:
        data = record.provenance.get("data")
        match data.get("units") if isinstance(data, dict) else None:
            case [str(size), str(examples)]:
                return one_line(size, 20), one_line(examples, 20)
    return "px", "images"


def _role(groups: Sequence[Group], strategy: str, problems: list[str]) -> Group | None:
    """Return the group of `strategy` that others are compared with: the one planned first."""
    named = [one for one in groups if one.strategy == strategy and one.is_compared]
    if len(named) > 1:
        problems.append(f"several groups of {strategy}; compared with {named[0].label}")
    return named[0] if named else None


def _labels(cells: Mapping[tuple[str, ...], Cell]) -> dict[tuple[str, ...], str]:
    """Name groups by strategy, and by the options or version that tell them apart."""
    labels = {}
    for key, cell in cells.items():
        twins = [one for one in cells.values() if one.strategy == cell.strategy]
        names = sorted({name for one in twins for name in one.options})
        parts = [
            f"{name}={_text(cell.options[name])}"
            for name in names
            if name in cell.options and len({canonical(one.options.get(name)) for one in twins}) > 1
        ]
        if len({one.version for one in twins}) > 1:
            parts.append(f"version {cell.version}")
        labels[key] = f"{cell.strategy} ({', '.join(parts)})" if parts else cell.strategy
    return labels


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)
