"""The table as LaTeX with booktabs, with every foreign text made inert."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sftbench.names import one_line
from sftbench.report.aggregate import Table
from sftbench.report.selection import Shown
from sftbench.report.sheets import Sheet, legend, sheets

_NOTE_CHARACTERS = 1000
# What LaTeX reads a meaning into, and the signs of our own that its fonts lack.
_WRITTEN: Mapping[int, str] = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "`": r"\textasciigrave{}",
        "'": r"\textquotesingle{}",
        "\N{MINUS SIGN}": "$-$",
        "Δ": r"$\Delta$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "†": r"\textdagger{}",
        "·": r"\textperiodcentered{}",
        # A bracket behind \\ would be read as its argument; a hyphen may join to a dash.
        "[": "{[}",
        "]": "{]}",
        "-": "{-}",
    }
)
# A sign before a number; a hyphen would print too short.
_MINUS = re.compile(r"(?<![^\s\[(])-(?=\.?\d)")


def render_latex(table: Table | Shown) -> str:
    """Return the table as LaTeX that ends in a line feed; the best values are bold."""
    shown = table if isinstance(table, Shown) else Shown(table)
    parts = [r"% \usepackage[T1]{fontenc} \usepackage{booktabs,textcomp}"]
    parts += [_sheet(sheet) for sheet in sheets(shown)]
    parts.append(_lines(legend(shown, "bold: best of its column")))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return `text` as one line in which LaTeX reads no command."""
    return _MINUS.sub("\N{MINUS SIGN}", one_line(text, _NOTE_CHARACTERS)).translate(_WRITTEN)


def _sheet(sheet: Sheet) -> str:
    aligned = "".join("l" if is_left else "r" for is_left in sheet.is_left)
    rows = [
        _row(rf"\textbf{{{escape(f.text)}}}" if f.is_best else escape(f.text) for f in row)
        for row in sheet.rows
    ]
    caption = ". ".join(escape(line) for line in (sheet.title, *sheet.shared))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        _row(escape(heading) for heading in sheet.headings),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        *([_lines(sheet.notes)] if sheet.notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _row(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def _lines(lines: Iterable[str]) -> str:
    told = "\n".join(rf"{escape(line)}\par" for line in lines)
    return f"\\par{{\\footnotesize\\raggedright\\parindent0pt\n{told}}}"
