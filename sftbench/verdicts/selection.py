"""Which groups two names mean, and in which sections both stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sftbench.errors import RequestError
from sftbench.names import nearest, one_line, shown
from sftbench.verdicts.evidence import Group, Section

_MOST_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sections are looked at; None: any. `protocol` is a name or a digest."""

    backbone: str | None = None
    weights: str | None = None
    dataset: str | None = None
    variant: str | None = None
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two groups of one section."""

    section: Section
    a: Group
    b: Group


def section_title(section: Section) -> str:
    """Return `tf_efficientnet_lite0 · pretrained · digits / balanced · protocol default`."""
    cell = section.cell
    return (
        f"{cell.backbone} · {cell.weights} · {cell.dataset} / {cell.variant} · "
        f"protocol {cell.protocol.name}"
    )


def find_pairs(
    sections: Sequence[Section], a: str, b: str, wanted: Wanted
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Return the pairs of groups that two labels or strategies name, one a section.

    Args:
        sections: Of a store.
        a: A label as tables show it, or a strategy of which a section has one group.
        b: Likewise.
        wanted: Which sections.

    Returns:
        Pairs, and a line for each section that was left out though it has both names.

    Raises:
        RequestError: A name means nothing, several groups, or the same group as the other; or no
            section has both.
    """
    kept = kept_sections(sections, wanted)
    for name in (a, b):
        if not any(named_groups(section, name) for section in kept):
            labels = [group.label for section in kept for group in section.groups]
            raise RequestError(unknown("group", name, labels))
    pairs, left_out = [], []
    for section in kept:
        found = named_groups(section, a), named_groups(section, b)
        if not all(found):
            continue
        problem = _problem(section, (a, b), found)
        if problem:
            left_out.append(problem)
        else:
            pairs.append(Pair(section, found[0][0], found[1][0]))
    if pairs:
        return tuple(pairs), tuple(left_out)
    if left_out:
        raise RequestError(left_out[0])
    raise RequestError(
        f"no section has both {shown(a)} and {shown(b)}; {_stands_in(kept, a)}; "
        f"{_stands_in(kept, b)}"
    )


def kept_sections(sections: Sequence[Section], wanted: Wanted) -> list[Section]:
    """Return the sections that are looked at.

    Raises:
        RequestError: There is none; the line says what there is.
    """
    kept = list(sections)
    for axis in ("backbone", "weights", "dataset", "variant", "protocol"):
        name = getattr(wanted, axis)
        if name is None:
            continue
        known = [value for section in sections for value in _values(section, axis)]
        if name not in known:
            raise RequestError(unknown(axis, name, known))
        kept = [section for section in kept if name in _values(section, axis)]
        if not kept:
            titles = listed(section_title(section) for section in sections)
            raise RequestError(f"no section is left with {axis} {shown(name)}; there are: {titles}")
    return kept


def _values(section: Section, axis: str) -> tuple[str, ...]:
    if axis == "protocol":
        return section.cell.protocol.name, section.key[-1]
    return (str(getattr(section.cell, axis)),)


def named_groups(section: Section, name: str) -> list[Group]:
    """Return the groups that a name may mean: the one with that label, else of that strategy."""
    exact = [group for group in section.groups if group.label == name]
    return exact or [group for group in section.groups if group.strategy == name]


def _problem(
    section: Section, names: tuple[str, str], found: tuple[list[Group], list[Group]]
) -> str:
    """Say why the two names make no pair in a section; empty where they do."""
    for name, groups in zip(names, found, strict=True):
        if len(groups) > 1:
            labels = listed(shown(group.label) for group in groups)
            return f"{shown(name)} names {len(groups)} groups of {section_title(section)}: {labels}"
    a, b = found[0][0], found[1][0]
    if a.key == b.key:
        return f"{shown(names[0])} and {shown(names[1])} are one group; name two"
    for group in (a, b):
        if group.skip_reason is not None:
            return (
                f"{one_line(group.label)} was skipped in {section_title(section)}: "
                f"{one_line(group.skip_reason)}"
            )
    return ""


def _stands_in(sections: Sequence[Section], name: str) -> str:
    titles = (section_title(section) for section in sections if named_groups(section, name))
    return f"{shown(name)} stands in {listed(titles)}"


def unknown(kind: str, wrong: str, names: Iterable[str]) -> str:
    """Return the line that answers a name that nothing has: the nearest, and what there is."""
    known = sorted(set(names))
    close = nearest(wrong, known)
    hint = f"did you mean {' or '.join(shown(name) for name in close)}? " if close else ""
    return f"unknown {kind} {shown(wrong)}; {hint}there are: {listed(known)}"


def listed(names: Iterable[str]) -> str:
    """Return up to 20 names as a list in a sentence, and how many there are beyond."""
    every = [one_line(name) for name in names]
    more = len(every) - _MOST_LISTED
    return ", ".join(every[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
