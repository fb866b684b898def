"""Which group of a store, or which cell, a person means: one of them, or one line about why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from sftbench.errors import RequestError
from sftbench.names import nearest, one_line, shown
from sftbench.verdicts.evidence import Group, Section

_MOST_LISTED = 8
_LEAST_DIGITS = 4  # of a cell's id
_ROW = re.compile(r"[0-9]{1,3}")
_ID = re.compile(rf"[0-9a-f]{{{_LEAST_DIGITS},16}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """Which sections are meant, where a name alone does not say it; None: any.

    `protocol` is a protocol's name, or the beginning of its digest in the table.
    """

    backbone: str | None = None
    weights: str | None = None
    dataset: str | None = None
    variant: str | None = None
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """A group with its section, and the seed where one cell of it is meant."""

    section: Section
    group: Group
    seed: int | None = None


Rows = Callable[[], Sequence[tuple[tuple[str, ...], str]]]
"""Gives the rows of the table as they are printed: key of the section, and label."""


def narrowed(sections: Sequence[Section], by: Narrowing) -> tuple[Section, ...]:
    """Return the sections that are meant.

    Raises:
        RequestError: There is none; the message says what there is.
    """
    left = tuple(sections)
    for field in fields(by):
        wanted = getattr(by, field.name)
        if wanted is None:
            continue
        found = tuple(one for one in left if wanted in _answers(one, field.name, wanted))
        if not found:
            known = sorted({_facts(one)[field.name] for one in left})
            raise RequestError(
                f"nothing here has {field.name} {shown(wanted)}; {_hint(wanted, known)}"
            )
        left = found
    return left


def select(
    sections: Sequence[Section], target: str, by: Narrowing, rows: Rows | None = None
) -> Selected:
    """Return the group or cell that `target` names.

    Args:
        sections: Of the store.
        target: The label of a group (`full`, `partial (k=2)`), its strategy, the number of its row
            in the printed table, or an id of a cell or at least four digits of its beginning.
        by: Which sections are meant.
        rows: Of the table, in the order in which it is printed, for numbers; None: none is known.

    Raises:
        RequestError: Nothing has that name, or more than one thing has it.
    """
    among = narrowed(sections, by)
    found = matches(among, target)
    if not found and rows is not None and _ROW.fullmatch(target):
        found = [_row(among, int(target), rows())]
    if not found:
        raise RequestError(_unknown(among, target))
    if len(found) > 1:
        raise RequestError(ambiguous(found, target))
    return found[0]


def matches(sections: Sequence[Section], target: str) -> list[Selected]:
    """Return every group, or else every cell, that `target` may name.

    Labels go before strategies, and both before ids of cells.
    """
    groups = [Selected(section, group) for section in sections for group in section.groups]
    label = target.removesuffix("†").strip()  # the table's mark of other weights
    for named in (
        [one for one in groups if one.group.label == label],
        [one for one in groups if one.group.strategy == label],
    ):
        if named:
            return named
    if _ID.fullmatch(target) is None:
        return []
    return [
        Selected(one.section, one.group, seed)
        for one in groups
        for seed, cell in one.group.cells.items()
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
        return f"{shown(target)} begins {len(cells)} ids of cells: {_listed(cells)}; write more"
    sections = {one.section.key: one.section for one in found}
    if len(sections) == 1:
        labels = [one_line(one.group.label, 100) for one in found]
        return f"{shown(target)} names {len(labels)} groups: {_listed(labels)}; write one of them"
    told = [_facts(section) for section in sections.values()]
    parts = []
    for field in fields(Narrowing):
        values = list(dict.fromkeys(one[field.name] for one in told))
        if len(values) > 1:
            parts.append(f"--{field.name} ({_listed(values)})")
    return f"{len(sections)} sections have {shown(target)}; choose by {', '.join(parts)}"


def _facts(section: Section) -> Mapping[str, str]:
    """Return what tells sections apart, as a person types it."""
    backbone, weights, dataset, variant, digest = section.key
    return {
        "backbone": backbone,
        "weights": weights,
        "dataset": dataset,
        "variant": variant,
        "protocol": digest,
    }


def _answers(section: Section, field: str, wanted: str) -> tuple[str, ...]:
    value = _facts(section)[field]
    if field != "protocol":
        return (value,)
    is_beginning = len(wanted) >= _LEAST_DIGITS and value.startswith(wanted)
    return (section.cell.protocol.name, wanted if is_beginning else value)


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


def _unknown(sections: Sequence[Section], target: str) -> str:
    labels = dict.fromkeys(group.label for section in sections for group in section.groups)
    kind = "group or cell" if _ID.fullmatch(target) else "group"
    return f"unknown {kind} {shown(target)}; {_hint(target, list(labels))}"


def _hint(wrong: str, known: Sequence[str]) -> str:
    close = nearest(wrong, known)
    if close:
        return f"did you mean {' or '.join(shown(name) for name in close)}?"
    return f"there are: {_listed(known)}"


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(one_line(name, 60) for name in names[:_MOST_LISTED])
    more = len(names) - _MOST_LISTED
    return f"{first} and {more} more" if more > 0 else first
