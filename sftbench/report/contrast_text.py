"""Two groups side by side, for a terminal, a pipe, or a page of Markdown."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sftbench.names import one_line
from sftbench.report.contrast import blocks
from sftbench.report.contrast_blocks import Block, Drawing, Facts, Grid, Heading, Line
from sftbench.report.markdown import escape
from sftbench.verdicts.datasets import Contrast

_CHARACTERS = 1000
_ROOMY = 80
_NARROWEST = 8
_INDENT = 2


def render_contrast(contrast: Contrast, width: int = 100) -> RenderableType:
    """Return it as a rich renderable of at most `width` columns."""
    return render_blocks(blocks(contrast, width - _INDENT), width)


def render_blocks(found: Iterable[Block], width: int) -> RenderableType:
    """Return blocks as a rich renderable of at most `width` columns."""
    parts: list[RenderableType] = []
    for block in found:
        if isinstance(block, Heading) and parts:
            parts.append(Text())
        parts.append(_rendered(block, width))
    return Constrain(Group(*parts), width)


def plain_contrast(contrast: Contrast, width: int = 100) -> str:
    """Return the same as text without any escape sequence."""
    return plain_blocks(blocks(contrast, width - _INDENT), width)


def plain_blocks(found: Iterable[Block], width: int) -> str:
    """Return blocks as text without any escape sequence."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False
    )
    console.print(render_blocks(found, width))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def markdown_contrast(contrast: Contrast) -> str:
    """Return it as GitHub-flavoured Markdown, with every foreign text made inert."""
    return "\n\n".join(_markdown(block) for block in blocks(contrast))


def _rendered(block: Block, width: int) -> RenderableType:
    match block:
        case Heading(text, level):
            return _text(text, "bold" if level == 1 else "italic")
        case Line(text):
            return _text(text)
        case Facts(rows):
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
            table.add_column(max_width=24)
            table.add_column()
            for name, text in rows:
                table.add_row(_text(name), _text(text))
            return Padding(table, (0, 0, 0, _INDENT))
        case Grid(headings, rows, left):
            return Padding(_grid(headings, rows, left, width), (0, 0, 0, _INDENT))
        case Drawing(lines):
            # Cut, not folded: a folded diagram says something else.
            return Padding(
                Group(*(Text(line, no_wrap=True, overflow="crop") for line in lines)),
                (0, 0, 0, _INDENT),
            )


def _grid(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int], width: int
) -> Table:
    """Return a table in which numbers stay whole and names fold."""
    gap = 2 if width >= _ROOMY else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for column, heading in enumerate(headings):
        is_text = column in left
        widest = max((_text(row[column]).cell_len for row in rows), default=0)
        word = max(map(len, heading.split()), default=0)
        table.add_column(
            _text(heading),
            justify="left" if is_text else "right",
            min_width=max(min(widest, _NARROWEST) if is_text else widest, word),
        )
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'###' if level == 1 else '####'} {escape(text)}"
        case Line(text):
            return escape(text)
        case Facts(rows):
            return "\n".join(["| | |", "| --- | --- |", *(_row(pair) for pair in rows)])
        case Grid(headings, rows, left):
            rule = ["---" if column in left else "---:" for column in range(len(headings))]
            lines = [_row(headings), f"| {' | '.join(rule)} |", *(_row(row) for row in rows)]
            return "\n".join(lines)
        case Drawing(lines):
            # Indented code: no text in it can end it, as one could end a fence.
            return "\n".join(f"    {line}" for line in lines)


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(escape(text) for text in texts)} |"


def _text(text: str, style: str = "") -> Text:
    """Return text that the terminal shows and does not obey; rich reads no markup in it."""
    return Text(one_line(text, _CHARACTERS), style=style, overflow="fold")
