"""Tables on standard output: for a terminal, a file, or another program."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sftbench.results import Results

_WIDTH = 100
_PROBLEMS = 10


def print_results(results: Results, *, as_json: bool) -> None:
    """Print the table, then on standard error what could not be read."""
    warn(results)
    if not as_json and sys.stdout.isatty():
        from rich.console import Console

        from sftbench.report.terminal import render_terminal

        console = Console()
        console.print(render_terminal(results.table, min(_WIDTH, console.width)))
    else:
        click.echo(render(results, "json" if as_json else "table"))


def warn(results: Results) -> None:
    """Say on standard error which files of the store were left alone, and why."""
    for problem in results.problems[:_PROBLEMS]:
        click.echo(f"left alone: {problem.path}: {problem.reason}", err=True)
    if len(results.problems) > _PROBLEMS:
        click.echo(f"left alone: {len(results.problems) - _PROBLEMS} more files", err=True)


def render(results: Results, form: str) -> str:
    """Return the table as text: `table`, `markdown`, `csv`, `json` or `html`."""
    from sftbench.report.markdown import render_markdown
    from sftbench.report.terminal import plain_text

    if form == "markdown":
        return render_markdown(results.table).rstrip("\n")
    if form == "html":
        return results.to_html().rstrip("\n")
    if form == "json":
        return json.dumps(results.rows(), indent=2, allow_nan=False)
    if form == "csv":
        return _csv(results)
    return plain_text(results.table, _WIDTH).rstrip("\n")


def _csv(results: Results) -> str:
    found = results.rows()
    if not found:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().rstrip("\n")
