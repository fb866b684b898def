"""The table as GitHub-flavoured Markdown, with every foreign text made inert."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sftbench.names import one_line
from sftbench.report.aggregate import Table
from sftbench.report.selection import Shown
from sftbench.report.sheets import Sheet, legend, sheets

_NOTE_CHARACTERS = 1000
# What Markdown reads a meaning into. Brackets around a number are left, since they are ours and
# cannot open a link; so are underscores inside a word, which names are full of.
_ESCAPED = re.compile(r"[\\`*|~$]|!(?=\[)|\[(?![+-]?\.?\d)|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", "@": "&#64;"}
_REPLACED = re.compile(r"<|@|&(?=#?\w+;)")


def render_markdown(table: Table | Shown) -> str:
    """Return the table as Markdown that ends in a line feed; the best values are bold."""
    shown = table if isinstance(table, Shown) else Shown(table)
    parts = [_sheet(sheet) for sheet in sheets(shown)]
    lines = legend(shown, "bold: best of its column")
    parts.append("\n".join(f"- {escape(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return `text` as one line in which Markdown and HTML mean nothing."""
    line = _ESCAPED.sub(r"\\\g<0>", one_line(text, _NOTE_CHARACTERS))
    return _REPLACED.sub(lambda found: _ENTITIES[found[0]], line)


def _sheet(sheet: Sheet) -> str:
    headings = [escape(heading) for heading in sheet.headings]
    lines = [_line(headings), _line(["---"] * len(headings))]
    for row in sheet.rows:
        texts = [(escape(field.text), field.is_best) for field in row]
        lines.append(_line(f"**{text}**" if is_best else text for text, is_best in texts))
    head = "\n\n".join(escape(line) for line in sheet.shared)
    notes = "\n".join(f"- {escape(note)}" for note in sheet.notes)
    parts = (f"### {escape(sheet.title)}", head, "\n".join(lines), notes)
    return "\n\n".join(part for part in parts if part)


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"
