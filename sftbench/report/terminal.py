"""The table for a terminal, a pipe or a file: at most as wide as asked, no colour needed."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from sftbench.names import one_line
from sftbench.report import wording
from sftbench.report.aggregate import Row, Table, TableSection

_STYLES: Mapping[str, str] = {"success": "green", "failure": "red", "skipped": "dim"}
_LEFT = ("strategy", "verdict")
_NARROWEST = 5
_NARROWEST_LABEL = 12
_NOTE_CHARACTERS = 1000


def render_terminal(table: Table, width: int = 100) -> RenderableType:
    """Return the table as a rich renderable of at most `width` columns."""
    parts: list[RenderableType] = []
    for section in table.sections:
        parts += [*_section(table, section, width), Text()]
    parts += [_text(line, "dim") for line in wording.legend(table, "*: best of its column")]
    return Constrain(Group(*parts), width)


def plain_text(table: Table, width: int = 100) -> str:
    """Return the same as text without any escape sequence."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False
    )
    console.print(render_terminal(table, width))
    # Cells are padded to their column's width, which says nothing at the end of a line.
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _section(table: Table, section: TableSection, width: int) -> Iterator[RenderableType]:
    yield _text(wording.title(section), "bold")
    yield _text(wording.protocol_line(section), "dim")
    yield _grid(table, section, width)
    for note in wording.notes(section):
        yield Padding(_text(note), (0, 0, 0, 2))


def _grid(table: Table, section: TableSection, width: int) -> RichTable:
    rows = [list(_cells(section, row)) for row in section.rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    headings = wording.headings(table, section)
    # The first column folds so that numbers need not; headings fold between their words.
    words = [max(map(len, heading.split()), default=0) for heading in headings]
    widths = [max(one, word, _NARROWEST) for one, word in zip(widths, words, strict=True)]
    first = max(width - sum(widths[1:]) - len(widths) + 1, _NARROWEST_LABEL)
    widths[0] = min(first, max(widths[0], _NARROWEST_LABEL))
    is_roomy = sum(widths) + len(widths) - 1 <= width
    grid = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading, one in zip(headings, widths, strict=True):
        grid.add_column(
            _text(heading),
            justify="left" if heading in _LEFT or "[" in heading else "right",
            overflow="fold",
            width=one if is_roomy else None,
        )
    for cells in rows:
        label = cells[0]
        folded = textwrap.wrap(label.plain, widths[0]) or [""]
        grid.add_row(Text("\n".join(folded), style=label.style), *cells[1:])
    return grid


def _cells(section: TableSection, row: Row) -> Iterator[Text]:
    *texts, verdict = wording.cells(section, row, compact=True)
    for name, text in zip(wording.BEST, texts, strict=False):
        is_best = name is not None and name in row.best
        yield _text(f"{text}*" if is_best else text, "bold" if is_best else "")
    yield _text(verdict, _STYLES.get(row.verdict.kind, ""))


def _text(text: str, style: str = "") -> Text:
    """Return text that the terminal shows and does not obey; rich reads no markup in it."""
    return Text(one_line(text, _NOTE_CHARACTERS), style=style, overflow="fold")
