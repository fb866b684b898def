"""Which group of a store, or which cell, a person means: one of them, or one line about why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from sftbench.errors import RequestError
from sftbench.names import one_line, shown
from sftbench.verdicts.evidence import Group, Section
from sftbench.verdicts.selection import Wanted, kept_sections, listed, named_groups, unknown

_LEAST_DIGITS = 4  # of a cell's id
_ROW = re.compile(r"[0-9]{1,3}")
_ID = re.compile(rf"[0-9a-f]{{{_LEAST_DIGITS},16}}")


@dataclass(frozen=True, slots=True)
class Selected:
    """A group with its section, and the seed where one cell of it is meant."""

    section: Section
    group: Group
    seed: int | None = None


Rows = Callable[[], Sequence[tuple[tuple[str, ...], str]]]
"""Gives the rows of the table as they are printed: key of the section, and label."""


def select(
    sections: Sequence[Section], target: str, wanted: Wanted, rows: Rows | None = None
) -> Selected:
    """Return the group or cell that `target` names.

    Args:
        sections: Of the store.
        target: The label of a group (`full`, `partial (k=2)`), its strategy, the number of its row
            in the printed table, or an id of a cell or at least four digits of its beginning.
        wanted: Which sections are meant.
        rows: Of the table, in the order in which it is printed, for numbers; None: none is known.

    Raises:
        RequestError: Nothing has that name, or more than one thing has it.
    """
    among = kept_sections(sections, wanted)
    found = matches(among, target)
    if not found and rows is not None and _ROW.fullmatch(target):
        found = [_row(among, int(target), rows())]
    if not found:
        kind = "group or cell" if _ID.fullmatch(target) else "group"
        labels = [group.label for section in among for group in section.groups]
        raise RequestError(unknown(kind, target, labels))
    if len(found) > 1:
        raise RequestError(ambiguous(found, target))
    return found[0]


def matches(sections: Sequence[Section], target: str) -> list[Selected]:
    """Return every group, or else every cell, that `target` may name.

    Labels go before strategies, and both before ids of cells.
    """
    label = target.removesuffix("†").strip()  # the table's mark of other weights
    named = [
        Selected(section, group) for section in sections for group in named_groups(section, label)
    ]
    if named:
        return named
    if _ID.fullmatch(target) is None:
        return []
    return [
        Selected(section, group, seed)
        for section in sections
        for group in section.groups
        for seed, cell in group.cells.items()
        if cell.cell_id.startswith(target)
    ]


def ambiguous(found: Sequence[Selected], target: str) -> str:
    """Return the line that says what `target` may mean, and how to choose."""
    if any(one.seed is not None for one in found):
        cells = [
            f"{one.group.cells[one.seed].cell_id} ({one_line(one.group.label, 60)} seed {one.seed})"
            for one in found
            if one.seed is not None
        ]
        return f"{shown(target)} begins {len(cells)} ids of cells: {listed(cells)}; write more"
    sections = {one.section.key: one.section for one in found}
    if len(sections) == 1:
        labels = [one_line(one.group.label, 100) for one in found]
        return f"{shown(target)} names {len(labels)} groups: {listed(labels)}; write one of them"
    parts = []
    # A section's key holds what `Wanted` asks for, in its order.
    for field, column in zip(fields(Wanted), zip(*sections, strict=True), strict=True):
        values = list(dict.fromkeys(column))
        if len(values) > 1:
            parts.append(f"--{field.name} ({listed(values)})")
    return f"{len(sections)} sections have {shown(target)}; choose by {', '.join(parts)}"


def _row(
    sections: Sequence[Section], number: int, rows: Sequence[tuple[tuple[str, ...], str]]
) -> Selected:
    """Return the group of a row of the table, counted from 1 over the sections that are meant."""
    keys = {section.key: section for section in sections}
    meant = [(keys[key], label) for key, label in rows if key in keys]
    if not 1 <= number <= len(meant):
        raise RequestError(f"the table has no row {number}; its rows are 1 to {len(meant)}")
    section, label = meant[number - 1]
    return Selected(section, next(one for one in section.groups if one.label == label))
