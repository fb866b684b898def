"""What is shown, as sheets of texts: the one form from which every table for people is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sftbench.report import wording
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.report.others import OtherMetric, spec_of, summarise
from sftbench.report.selection import AXES, Line, Shown

# The usual columns of groups, in the order of `wording.cells`.
USUAL = (
    "label",
    "seeds_completed",
    "mean",
    "difference",
    "p_adjusted",
    "worst_class_recall",
    "seconds_per_cell",
    "peak_bytes",
    "verdict",
)
_USUAL_CELLS = ("label", "seed", "status", "value", "seconds", "peak_bytes", "verdict")
_HEADINGS = {"label": "strategy", "seconds": "s", "peak_bytes": "MB"}
_SECONDS = {"seconds", "seconds_per_cell", "examples_per_second"}
_SIGNED = "difference"


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `compact` is for where room is short."""

    text: str
    compact: str
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: its title, what all rows share, headings, rows, and the lines under it.

    Attributes:
        title: Of the table.
        shared: Lines above it.
        headings: Of the columns.
        is_left: Which columns are aligned left, being text.
        rows: Fields of each row.
        verdicts: Of each row, for a colour.
        notes: Lines under it.
    """

    title: str
    shared: tuple[str, ...]
    headings: tuple[str, ...]
    is_left: tuple[bool, ...]
    rows: tuple[tuple[Field, ...], ...]
    verdicts: tuple[str, ...]
    notes: tuple[str, ...]


def sheets(shown: Shown) -> tuple[Sheet, ...]:
    """Return a table for each section, or for each value of the axes that were asked for."""
    axes = AXES if shown.selection.group_by is None else shown.selection.group_by
    # Tables keep the order of the store, however their rows are sorted.
    parts: dict[tuple[str, ...], list[Line]] = {
        _place(section, axes): [] for section in shown.table.sections
    }
    for line in shown.lines:
        parts[_place(line.section, axes)].append(line)
    drawer = _Drawer(shown)
    return tuple(drawer.sheet(place, lines) for place, lines in parts.items() if lines)


def legend(shown: Shown, best: str) -> Iterator[str]:
    """Yield the lines at the end; `best` says how the best are marked."""
    hidden = len(shown.all_lines) - len(shown.lines)
    if shown.kind == "cells":
        yield "rows are cells; a verdict is its group's, over all seeds of the plan"
    if shown.metrics:
        names = ", ".join(metric.short for metric in shown.metrics)
        yield f"{names}: beside the primary metric; ranks, Δ, p and verdicts are the primary's"
    if shown.selection.where:
        yield (
            f"filter {shown.selection.where}: {hidden} of {len(shown.all_lines)} rows are not "
            "shown; ranks, best values, p and verdicts are over all of them"
        )
    if shown.selection.group_by is not None:
        yield "best values and ranks are within one backbone, weights, data set, variant, protocol"
    yield from wording.legend(shown.table, best)


class _Drawer:
    """Draws the fields of lines; what is best is looked up over all rows, shown or not."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._digits = shown.selection.digits
        self._further = {metric.key: metric for metric in shown.metrics}
        self._specs = {key: spec_of(shown.table, one) for key, one in self._further.items()}
        self._best = {key: self._best_rows(one) for key, one in self._further.items()}

    def sheet(self, place: tuple[str, ...], lines: Sequence[Line]) -> Sheet:
        shown = self._shown
        sections = _sections(lines)
        columns = self._columns(sections)
        alone = sections if len(sections) == 1 else []
        return Sheet(
            title=wording.title(alone[0]) if alone else " · ".join(place) or "all sections",
            shared=tuple(wording.protocol_line(section) for section in alone),
            headings=tuple(self._heading(name, sections) for name in columns),
            is_left=tuple(self._is_left(name) for name in columns),
            rows=tuple(tuple(self._fields(line, columns)) for line in lines),
            verdicts=tuple(line.row.verdict.kind for line in lines),
            notes=tuple(_notes(shown, sections, lines)),
        )

    def _columns(self, sections: Sequence[TableSection]) -> tuple[str, ...]:
        usual = USUAL if self._shown.kind == "groups" else _USUAL_CELLS
        varying = [axis for axis in AXES if len({_place(one, (axis,)) for one in sections}) > 1]
        if self._shown.columns:
            return (
                *(axis for axis in varying if axis not in self._shown.columns),
                *self._shown.columns,
            )
        after = usual.index("mean" if self._shown.kind == "groups" else "value") + 1
        return (*varying, *usual[:after], *self._further, *usual[after:])

    def _heading(self, name: str, sections: Sequence[TableSection]) -> str:
        table = self._shown.table
        if name in self._further:
            interval = wording.of_seeds(table) if self._shown.kind == "groups" else ""
            return f"{self._further[name].short} {interval}".strip()
        each = [wording.headings(table, section) for section in sections]
        if self._shown.kind == "groups" and name in USUAL:
            position = USUAL.index(name)
            found = {headings[position] for headings in each}
            return found.pop() if len(found) == 1 else wording.mixed_heading(table, name)
        if name == "value":
            names = {section.metric.name for section in sections if section.metric}
            return names.pop() if len(names) == 1 else "metric"
        return _HEADINGS.get(name, name)

    def _is_left(self, name: str) -> bool:
        return self._shown.types[name] is str or name in {"mean", _SIGNED, *self._further}

    def _fields(self, line: Line, columns: Sequence[str]) -> Iterator[Field]:
        section, row = line.section, line.row
        is_group = self._shown.kind == "groups"
        texts, compact = (
            dict(
                zip(
                    USUAL,
                    wording.cells(section, row, compact=one, digits=self._digits),
                    strict=True,
                )
            )
            for one in (False, True)
        )
        best = dict(zip(USUAL, wording.BEST, strict=True))
        styles = [wording.Style(one, self._digits) for one in (False, True)]
        for name in columns:
            if is_group and name in USUAL:
                is_best = best[name] is not None and best[name] in row.best
                yield Field(texts[name], compact[name], is_best)
            elif name in self._further:
                is_best = is_group and id(row) in self._best[name]
                full, short = (self._metric(line, name, style) for style in styles)
                yield Field(full, short, is_best)
            else:
                full, short = (self._plain(line, name, style) for style in styles)
                yield Field(full, short)

    def _metric(self, line: Line, name: str, style: wording.Style) -> str:
        spec = self._specs[name]
        if self._shown.kind == "cells":
            value = line.values[name]
            return wording.NONE if value is None else wording.number(value, spec, style)
        one = summarise(line.row, self._further[name], self._shown.table.criteria.level)
        return wording.over_seeds(
            one.mean, one.over_completed, one.num_completed, one.interval, spec, style
        )

    @staticmethod
    def _plain(line: Line, name: str, style: wording.Style) -> str:
        value = line.values[name]
        if value is None or value == "":
            return wording.NONE
        if name == "peak_bytes":
            return f"{value / 1e6:.0f}"
        if not isinstance(value, float):
            return str(value)
        if name in _SECONDS:
            return wording.three_figures(value)
        if name in {"p", "transfer_p", "transfer_p_adjusted"}:
            return wording.p_value(value, style)
        return wording.number(value, line.section.metric, style, signed=_SIGNED in name)

    def _best_rows(self, metric: OtherMetric) -> set[int]:
        """Return which rows are best in a metric whose direction is known, equals too."""
        spec = self._specs[metric.key]
        found: set[int] = set()
        for section in self._shown.table.sections if spec else ():
            means = _means(section, metric, self._shown.table)
            if means and spec:
                best = (min if spec.direction == "min" else max)(means.values())
                found |= {
                    key
                    for key, mean in means.items()
                    if math.isclose(mean, best, rel_tol=1e-12, abs_tol=1e-12)
                }
        return found


def _means(section: TableSection, metric: OtherMetric, table: Table) -> Mapping[int, float]:
    level = table.criteria.level
    found = {id(row): summarise(row, metric, level).mean for row in section.rows}
    return {key: mean for key, mean in found.items() if mean is not None}


def _sections(lines: Sequence[Line]) -> list[TableSection]:
    return list({id(line.section): line.section for line in lines}.values())


def _place(section: TableSection, axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(getattr(section, axis) for axis in axes)


def _notes(shown: Shown, sections: Sequence[TableSection], lines: Sequence[Line]) -> Iterator[str]:
    for section in sections:
        rows: dict[int, Row] = {id(line.row): line.row for line in lines if line.section is section}
        start = f"{wording.title(section)}: " if len(sections) > 1 else ""
        if shown.kind == "groups":
            found = wording.notes(section, list(rows.values()))
        else:
            found = (f"note: {problem}" for problem in section.problems)
        yield from (f"{start}{note}" for note in found)
