"""The table as GitHub-flavoured Markdown, with every foreign text made inert."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sftbench.names import one_line
from sftbench.report import wording
from sftbench.report.aggregate import Table, TableSection

_NOTE_CHARACTERS = 1000
# What Markdown reads a meaning into. Brackets around a number are left, since they are ours and
# cannot open a link; so are underscores inside a word, which names are full of.
_ESCAPED = re.compile(r"[\\`*|~$]|!(?=\[)|\[(?![+-]?\.?\d)|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", "@": "&#64;"}
_REPLACED = re.compile(r"<|@|&(?=#?\w+;)")


def render_markdown(table: Table) -> str:
    """Return the table as Markdown that ends in a line feed; the best values are bold."""
    parts = [_section(table, section) for section in table.sections]
    legend = wording.legend(table, "bold: best of its column")
    parts.append("\n".join(f"- {escape(line)}" for line in legend))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return `text` as one line in which Markdown and HTML mean nothing."""
    line = _ESCAPED.sub(r"\\\g<0>", one_line(text, _NOTE_CHARACTERS))
    return _REPLACED.sub(lambda found: _ENTITIES[found[0]], line)


def _section(table: Table, section: TableSection) -> str:
    headings = [escape(heading) for heading in wording.headings(table, section)]
    lines = [_line(headings), _line(["---"] * len(headings))]
    for row in section.rows:
        texts = [escape(text) for text in wording.cells(section, row)]
        lines.append(
            _line(
                f"**{text}**" if name is not None and name in row.best else text
                for name, text in zip(wording.BEST, texts, strict=True)
            )
        )
    head = f"### {escape(wording.title(section))}\n\n{escape(wording.protocol_line(section))}"
    notes = "\n".join(f"- {escape(note)}" for note in wording.notes(section))
    return "\n\n".join(part for part in (head, "\n".join(lines), notes) if part)


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"
