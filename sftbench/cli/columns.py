"""Columns of text that fit 100 characters."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click

_WIDTH = 100
_LEAST_LAST = 8


def print_columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> None:
    """Print columns; the last one is cut, at its beginning, so that lines fit.

    Args:
        head: One word for each column.
        rows: Texts, as many as columns.
        right: Columns of numbers.
    """
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    widths[-1] = max(_LEAST_LAST, _WIDTH - sum(widths[:-1]) - 2 * (len(head) - 1))
    for row in [head, *rows]:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        if len(cells[-1]) > widths[-1]:
            cells[-1] = "..." + cells[-1][3 - widths[-1] :]
        click.echo("  ".join(cells).rstrip())
