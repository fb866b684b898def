"""Tables on standard output: for a terminal, a file, or another program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from sftbench.report.selection import Shown
    from sftbench.results import Results

WIDTH = 100
_PROBLEMS = 10


def print_results(results: Results, *, as_json: bool) -> None:
    """Print the table, then on standard error what could not be read."""
    from sftbench.report.selection import Shown

    warn(results)
    show(Shown(results.table), "json" if as_json else "table")


def show(shown: Shown, form: str) -> None:
    """Print a table on standard output, in colour where that is a terminal."""
    if form == "table":
        from sftbench.report.terminal import render_terminal

        draw(lambda width: render_terminal(shown, width))
    else:
        click.echo(render(shown, form), nl=False)


def draw(renderable: Callable[[int], RenderableType]) -> None:
    """Print what rich draws in so many columns: in colour on a terminal, plain lines elsewhere."""
    from sftbench.report.terminal import without_colour

    if not sys.stdout.isatty():
        click.echo(without_colour(renderable(WIDTH), WIDTH), nl=False)
        return
    from rich.console import Console

    console = Console()
    console.print(renderable(min(WIDTH, console.width)))


def warn(results: Results) -> None:
    """Say on standard error which files of the store were left alone, and why."""
    from sftbench.names import one_line

    for problem in results.problems[:_PROBLEMS]:
        click.echo(f"left alone: {one_line(str(problem.path))}: {problem.reason}", err=True)
    if len(results.problems) > _PROBLEMS:
        click.echo(f"left alone: {len(results.problems) - _PROBLEMS} more files", err=True)


def render(shown: Shown, form: str) -> str | bytes:
    """Return the table: `table`, `markdown`, `latex`, `csv`, `json`, or `parquet` in bytes."""
    from sftbench.report.latex import render_latex
    from sftbench.report.markdown import render_markdown
    from sftbench.report.programs import render_csv, render_json, render_parquet
    from sftbench.report.terminal import plain_text

    forms: dict[str, Callable[[Shown], str | bytes]] = {
        "markdown": render_markdown,
        "latex": render_latex,
        "csv": render_csv,
        "json": render_json,
        "parquet": render_parquet,
    }
    return forms[form](shown) if form in forms else plain_text(shown, WIDTH)


def deliver(content: str | bytes, output: Path | None, form: str) -> None:
    """Write what was rendered to a file, or to standard output.

    Raises:
        RequestError: The file cannot be written, or a terminal cannot show it.
    """
    from sftbench.errors import RequestError

    if output is None:
        if isinstance(content, bytes) and sys.stdout.isatty():
            raise RequestError(f"{form} is not text for a terminal; add --output FILE")
        click.echo(content, nl=False)
        return
    data = content.encode() if isinstance(content, str) else content
    try:
        output.write_bytes(data)
    except OSError as error:
        raise RequestError(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"wrote {output}", err=True)
