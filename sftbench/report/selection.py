"""Which rows and columns of a table are shown. Nothing here changes a number or a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from sftbench.errors import RequestError
from sftbench.names import nearest, shown
from sftbench.report.aggregate import Row, Table, TableSection
from sftbench.report.expressions import Filter, Kind, parse_filter
from sftbench.report.flat import (
    CELL_COLUMNS,
    GROUP_COLUMNS,
    Types,
    cell_rows,
    group_row,
    record_of,
)
from sftbench.report.others import OtherMetric, find_metrics, summarise

AXES = ("backbone", "weights", "dataset", "variant", "protocol_digest")
RowKind = Literal["groups", "cells"]
RowChoice = Literal["auto", RowKind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a person asks to see; where several texts are due, one stands for itself.

    Attributes:
        rows: `groups`, `cells`, or `auto`: groups, unless something asked for is a cell's alone.
        metrics: Further metrics: `nll`, `val/nll`.
        where: A filter (`sftbench.report.expressions`); empty for every row.
        sort: Columns, the first counts most; `-mean` is descending. Empty: by rank.
        columns: In their order; empty: the usual ones.
        group_by: Axes whose values get a table each; None: one for each section.
        digits: After the point of a proportion, in tables for people.
    """

    rows: RowChoice = "auto"
    metrics: tuple[str, ...] = ()
    where: str = ""
    sort: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    group_by: tuple[str, ...] | None = None
    digits: int = 3

    def __post_init__(self) -> None:
        """Make a tuple of a text that stands alone.

        Raises:
            RequestError: `rows` is none of the kinds.
        """
        for name in ("metrics", "sort", "columns", "group_by"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, (getattr(self, name),))
        if self.rows not in (choices := ("auto", *get_args(RowKind))):
            raise RequestError(f"no rows {shown(self.rows)}; choose one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True)
class Line:
    """One row that is shown: where it stands, and its values by column."""

    section: TableSection
    row: Row
    values: Mapping[str, Any]


class Shown:
    """A table as a person asked to see it.

    Args:
        table: With every row, judged.
        selection: What of it.

    Raises:
        RequestError: A column, metric or filter is none.
    """

    def __init__(self, table: Table, selection: Selection | None = None) -> None:
        self.table = table
        self.selection = chosen = selection or Selection()
        self.metrics = find_metrics(table, chosen.metrics)
        self.columns = tuple(dict.fromkeys(self._key(name) for name in chosen.columns))
        for axis in chosen.group_by or ():
            if axis not in AXES:
                raise RequestError(f"no axis {shown(axis)} to group by; axes: {', '.join(AXES)}")
        self._sort = [_sort_key(text) for text in chosen.sort]
        self._cells_alone = self._asked_of_cells()
        self.kind: RowKind = self._kind()
        self._check()

    @property
    def types(self) -> Types:
        """Every column that rows of this kind have, the further metrics last."""
        base = GROUP_COLUMNS if self.kind == "groups" else CELL_COLUMNS
        return {**base, **self._metric_types()}

    @cached_property
    def all_lines(self) -> tuple[Line, ...]:
        """Every row, in the table's order."""
        return tuple(self._lines())

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The rows that the filter leaves, sorted."""
        condition = self._filter()
        found = [one for one in self.all_lines if condition is None or condition(one)]
        for name, is_descending in reversed(self._sort):
            key = self._key(name)
            have = [one for one in found if one.values[key] is not None]
            have.sort(key=lambda one: one.values[key], reverse=is_descending)
            found = [*have, *(one for one in found if one.values[key] is None)]
        return tuple(found)

    def rows(self) -> list[dict[str, Any]]:
        """Return rows for programs: the columns asked for, else every one."""
        names = self.columns or tuple(self.types)
        return [{name: line.values[name] for name in names} for line in self.lines]

    def _kind(self) -> RowKind:
        if self.selection.rows != "auto":
            return self.selection.rows
        return "cells" if self._cells_alone else "groups"

    def _asked_of_cells(self) -> tuple[str, ...]:
        """Return the columns asked for that cells alone have, where the kind of rows is open."""
        if self.selection.rows != "auto":
            return ()
        asked = [*self._listed(), *sorted(self._named())]
        return tuple(
            name for name in dict.fromkeys(asked) if name in CELL_COLUMNS.keys() - GROUP_COLUMNS
        )

    def _listed(self) -> tuple[str, ...]:
        """Return the columns to show and to sort by."""
        return (*self.columns, *(self._key(name) for name, _ in self._sort))

    def _named(self) -> frozenset[str]:
        """Return the columns that the filter names, of either kind of rows."""
        if not self.selection.where:
            return frozenset()
        known = {**_kinds(GROUP_COLUMNS), **_kinds(CELL_COLUMNS), **self._metric_kinds()}
        return parse_filter(self.selection.where, known).names

    def _check(self) -> None:
        for name in self._listed():
            if name not in self.types:
                raise RequestError(self._no_column(name))
        self._condition()

    def _no_column(self, name: str) -> str:
        """Return the line that answers a column which rows of this kind have not."""
        told = _no_column(name, self.types, self.kind)
        if name in GROUP_COLUMNS and self._cells_alone:
            told += f"; rows are cells here because of {', '.join(self._cells_alone)}"
        return told

    def _condition(self) -> Filter | None:
        text = self.selection.where
        if not text:
            return None
        try:
            return parse_filter(text, {**_kinds(self.types), **self._metric_kinds()})
        except RequestError as error:
            if self.kind == "groups" and self._is_for_cells(text):
                raise RequestError(
                    f"filter {shown(text)}: a group's row is over all its seeds, and a filter "
                    "never changes a verdict; a column of cells needs --rows cells"
                ) from None
            foreign = self._foreign()
            if foreign:
                raise RequestError(f"filter {shown(text)}: {self._no_column(foreign[0])}") from None
            raise error from None

    def _foreign(self) -> list[str]:
        """Return the columns in the filter that only rows of the other kind have."""
        try:
            named = self._named()
        except RequestError:
            return []
        return sorted(named - self.types.keys() - self._metric_kinds().keys())

    def _is_for_cells(self, text: str) -> bool:
        try:
            parse_filter(text, {**_kinds(CELL_COLUMNS), **self._metric_kinds()})
        except RequestError:
            return False
        return True

    def _filter(self) -> Callable[[Line], bool] | None:
        condition = self._condition()
        if condition is None:
            return None
        aliases = {metric.short: metric.key for metric in self.metrics}

        def holds(line: Line) -> bool:
            further = {short: line.values[key] for short, key in aliases.items()}
            # A column of the table's own goes before a metric of its name.
            return condition.holds({**further, **line.values})

        return holds

    def _lines(self) -> Iterator[Line]:
        level = self.table.criteria.level
        for section in self.table.sections:
            for row in section.rows:
                if self.kind == "groups":
                    more = _summaries(row, self.metrics, level)
                    yield Line(section, row, {**group_row(section, row), **more})
                    continue
                for values in cell_rows(section, row):
                    record = record_of(row, values["seed"])
                    more = {
                        one.key: record.value(one.name, one.split) if record else None
                        for one in self.metrics
                    }
                    yield Line(section, row, {**values, **more})

    def _metric_types(self) -> Types:
        ends = ("", "_low_test_set", "_high_test_set") if self.kind == "groups" else ("",)
        return {f"{one.key}{end}": float for one in self.metrics for end in ends}

    def _metric_kinds(self) -> dict[str, Kind]:
        return {one.short: "number" for one in self.metrics}

    def _key(self, name: str) -> str:
        """Return the column of a further metric's short name; other names as they are."""
        if name in GROUP_COLUMNS or name in CELL_COLUMNS:
            return name
        return next((one.key for one in self.metrics if one.short == name), name)


def _kinds(types: Types) -> dict[str, Kind]:
    return {name: "text" if kind is str else "number" for name, kind in types.items()}


def _sort_key(text: str) -> tuple[str, bool]:
    return (text[1:], True) if text.startswith("-") else (text, False)


def _no_column(name: str, types: Types, kind: RowKind) -> str:
    if name in GROUP_COLUMNS or name in CELL_COLUMNS:
        other = "cells" if kind == "groups" else "groups"
        return f"rows of {kind} have no column {shown(name)}; rows of {other} have it"
    close = nearest(name, types)
    hint = f"did you mean {' or '.join(close)}?" if close else f"columns: {', '.join(types)}"
    return f"rows of {kind} have no column {shown(name)}; {hint}"


def _summaries(row: Row, metrics: Sequence[OtherMetric], level: float) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for metric in metrics:
        one = summarise(row, metric, level)
        low, high = one.interval or (None, None)
        found |= {
            metric.key: one.mean,
            f"{metric.key}_low_test_set": low,
            f"{metric.key}_high_test_set": high,
        }
    return found
