"""Names and other texts of a submission: what no run writes is refused before a page escapes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sftbench.leaderboard.findings import Finding, error
from sftbench.names import is_valid_name, shown
from sftbench.plan import Cell
from sftbench.records import Record

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=+:/@,~%()\[\]-]{0,199}")
# Markup, controls, ends of lines, and what turns the reading direction.
_ODD = re.compile(
    r"<[A-Za-z/!?]"
    r"|[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def cell_names(cell: Cell) -> list[str]:
    """Return the names that a cell shows on a page."""
    kinds = ("backbone", "weights", "dataset", "variant", "strategy", "task")
    return [*(str(getattr(cell, kind)) for kind in kinds), cell.protocol.name]


def record_names(record: Record) -> list[str]:
    """Return the names that a record shows on a page."""
    plugins = record.provenance.get("plugins")
    brought = map(str, plugins.values()) if isinstance(plugins, dict) else ()
    metrics = (spec.name for spec in record.metric_specs)
    return [*cell_names(record.cell), *record.cell.versions, *brought, *metrics]


def odd_names(names: list[str]) -> list[str]:
    """Return names that no run makes: they are refused before a page must escape them."""
    return [
        name
        for name in dict.fromkeys(names)
        if _NAME.fullmatch(name) is None
        or not is_valid_name(name.partition(":")[0].replace(" ", "-").replace("+", "-"))
    ]


def unprintable(where: str, document: object) -> Iterator[Finding]:
    """Name the first text that no run writes: markup, or what does not print."""
    for text in _texts(document):
        if _ODD.search(text):
            yield error(where, f"{shown(text, 60)} is no text of a run: markup, or not printable")
            return


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield str(key)
            yield from _texts(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _texts(child)
