"""The table for a terminal, a pipe or a file: at most as wide as asked, no colour needed."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from sftbench.names import one_line
from sftbench.report.aggregate import Table
from sftbench.report.selection import Shown
from sftbench.report.sheets import Field, Sheet, legend, sheets

_STYLES: Mapping[str, str] = {"success": "green", "failure": "red", "skipped": "dim"}
_NARROWEST = 5
_NARROWEST_LABEL = 12
_NOTE_CHARACTERS = 1000


def render_terminal(table: Table | Shown, width: int = 100) -> RenderableType:
    """Return a table as a rich renderable of at most `width` columns."""
    shown = table if isinstance(table, Shown) else Shown(table)
    parts: list[RenderableType] = []
    for sheet in sheets(shown):
        parts += [*_sheet(sheet, width), Text()]
    parts += [_text(line, "dim") for line in legend(shown, "*: best of its column")]
    return Constrain(Group(*parts), width)


def plain_text(table: Table | Shown, width: int = 100) -> str:
    """Return the same as text without any escape sequence."""
    return without_colour(render_terminal(table, width), width)


def without_colour(renderable: RenderableType, width: int) -> str:
    """Return what rich draws as lines of text without any escape sequence."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False
    )
    console.print(renderable)
    # Cells are padded to their column's width, which says nothing at the end of a line.
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _sheet(sheet: Sheet, width: int) -> Iterator[RenderableType]:
    yield _text(sheet.title, "bold")
    for line in sheet.shared:
        yield _text(line, "dim")
    yield _grid(sheet, width)
    for note in sheet.notes:
        yield Padding(_text(note), (0, 0, 0, 2))


def _grid(sheet: Sheet, width: int) -> RichTable:
    rows = [
        [_field(field, name, verdict) for name, field in zip(sheet.headings, row, strict=True)]
        for row, verdict in zip(sheet.rows, sheet.verdicts, strict=True)
    ]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    # The first column folds so that numbers need not; headings fold between their words.
    words = [max(map(len, heading.split()), default=0) for heading in sheet.headings]
    widths = [max(one, word, _NARROWEST) for one, word in zip(widths, words, strict=True)]
    first = max(width - sum(widths[1:]) - len(widths) + 1, _NARROWEST_LABEL)
    widths[0] = min(first, max(widths[0], _NARROWEST_LABEL))
    room = width - len(widths) + 1
    # Where room is short, fields break between words, then words of headings; then rich decides.
    fixed = widths if sum(widths) <= room else None
    for longest in (room, 8, 0):
        least = _least(rows, [min(word, longest) for word in words])
        fixed = fixed or _fitted(widths, least, room)
    grid = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading, is_left, one in zip(
        sheet.headings, sheet.is_left, fixed or [None] * len(widths), strict=True
    ):
        grid.add_column(
            _text(heading),
            justify="left" if is_left else "right",
            overflow="fold",
            width=one,
        )
    for cells in rows:
        label = cells[0]
        folded = textwrap.wrap(label.plain, fixed[0] if fixed else widths[0]) or [""]
        grid.add_row(Text("\n".join(folded), style=label.style), *cells[1:])
    return grid


def _least(rows: Sequence[Sequence[Text]], words: Sequence[int]) -> list[int]:
    """Return the widths at which no word is broken, but for a long label's."""
    least = [
        max(max(map(len, cell.plain.split()), default=0) for cell in column)
        for column in zip(*rows, strict=True)
    ]
    found = [max(one, word, _NARROWEST) for one, word in zip(least, words, strict=True)]
    return [min(found[0], _NARROWEST_LABEL), *found[1:]]


def _fitted(wished: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Return widths between the least and what is wished that fill the room; None: none do."""
    found = list(least)
    if sum(found) > room:
        return None
    for _ in range(room - sum(found)):
        lacks = [wish - one for wish, one in zip(wished, found, strict=True)]
        found[lacks.index(max(lacks))] += max(lacks) > 0
    return found


def _field(field: Field, heading: str, verdict: str) -> Text:
    if heading == "verdict":
        return _text(field.compact, _STYLES.get(verdict, ""))
    return _text(f"{field.compact}*" if field.is_best else field.compact, "bold" * field.is_best)


def _text(text: str, style: str = "") -> Text:
    """Return text that the terminal shows and does not obey; rich reads no markup in it."""
    return Text(one_line(text, _NOTE_CHARACTERS), style=style, overflow="fold")
