"""The table as a piece of HTML for a notebook, with every foreign text made inert."""

from __future__ import annotations

import html
from collections.abc import Iterable

from sftbench.names import one_line
from sftbench.report.selection import Shown
from sftbench.report.sheets import Field, Sheet, legend, sheets

_NOTE_CHARACTERS = 1000


def render_notebook(shown: Shown) -> str:
    """Return tables and the lines under them; the notebook's own style dresses them."""
    parts = [_sheet(sheet) for sheet in sheets(shown)]
    lines = _list(legend(shown, "bold: best of its column"))
    parts.append(f"<details><summary>how to read this table</summary>{lines}</details>")
    return f'<div class="sftbench">{"".join(parts)}</div>'


def escape(text: str) -> str:
    """Return `text` as one line in which HTML means nothing."""
    return html.escape(one_line(text, _NOTE_CHARACTERS))


def _sheet(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in sheet.headings)
    body = "".join(
        f"<tr>{''.join(_field(*each) for each in zip(row, sheet.is_left, strict=True))}</tr>"
        for row in sheet.rows
    )
    shared = "".join(f"<p><small>{escape(line)}</small></p>" for line in sheet.shared)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h4>{escape(sheet.title)}</h4>{shared}{table}{_list(sheet.notes)}"


def _field(field: Field, is_left: bool) -> str:  # noqa: FBT001
    text = escape(field.text)
    side = "left" if is_left else "right"
    return f'<td style="text-align:{side}">{f"<b>{text}</b>" if field.is_best else text}</td>'


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
