"""`sftbench report`: the table of successes and failures, from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_FOR_PROGRAMS = ("csv", "json", "parquet")
# What chooses from the table, for a format whose reader chooses.
_SHOWS = {
    "metrics": "--metric",
    "where": "--filter",
    "rows": "--rows",
    "columns": "--columns",
    "sort": "--sort",
    "group_by": "--group-by",
    "decimals": "--digits",
}
_USUAL = ((), "", "auto", None)


def _listed(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Split values at commas."""
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())


@click.command()
@click.argument(
    "results", default="sftbench-results", type=click.Path(path_type=Path), metavar="[RESULTS]"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "html", *_FOR_PROGRAMS]),
    default="table",
    show_default=True,
)
@click.option("--baseline", metavar="STRATEGY", help="In place of the plan's.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    callback=_listed,
    metavar="NAME",
    help="Also this one, as nll or val/nll; verdicts stay the primary metric's.",
)
@click.option(
    "--filter",
    "where",
    default="",
    metavar="EXPRESSION",
    help="Rows to show: \"strategy != 'scratch' and mean > 0.5\". No verdict changes.",
)
@click.option(
    "--rows",
    type=click.Choice(["auto", "groups", "cells"]),
    default="auto",
    show_default=True,
    help="A row for each group of seeds or each cell; auto: cells where a column needs it.",
)
@click.option(
    "--columns", multiple=True, callback=_listed, metavar="NAMES", help="label,mean,verdict ..."
)
@click.option(
    "--sort", multiple=True, callback=_listed, metavar="NAMES", help="-mean,label; - is descending."
)
@click.option(
    "--group-by",
    "group_by",
    metavar="AXES",
    help="A table for each value of dataset,variant ...; none: one table.",
)
@click.option(
    "--digits",
    "decimals",
    type=click.IntRange(1, 12),
    help="Of proportions, for people. [3]",
)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
def report(results: Path, form: str, output: Path | None, **options: Any) -> int:
    """Print what worked, what failed and why, from the records in RESULTS.

    Names of columns are those of --format csv; docs/formats.md lists them.
    """
    from sftbench.cli.tables import deliver, render, show, warn
    from sftbench.cli.telling import progressing
    from sftbench.errors import RequestError
    from sftbench.report.selection import Selection, Shown
    from sftbench.results import Results

    if form in _FOR_PROGRAMS and options["decimals"] is not None:
        raise RequestError(f"--digits rounds tables for people; {form} keeps every digit")
    if form in _FOR_PROGRAMS and options["group_by"] is not None:
        raise RequestError(f"--group-by makes several tables; {form} is one list of rows")
    found = Results(results, baseline=options.pop("baseline"))
    found.check()
    if form == "html":
        chosen = [option for name, option in _SHOWS.items() if options[name] not in _USUAL]
        if chosen:
            raise RequestError(
                "the page has every row and its own filters, columns and order: leave out "
                f"{', '.join(chosen)}"
            )
        warn(found)
        with progressing() as (_, progress):
            page = found.to_html(progress)
        deliver(page, output, form)
        return 0
    digits, group_by = options.pop("decimals") or 3, options.pop("group_by")
    axes = None if group_by is None else _axes(group_by)
    shown = Shown(found.table, Selection(digits=digits, group_by=axes, **options))
    warn(found)
    if output is None and form == "table":
        show(shown, form)
    else:
        deliver(render(shown, form), output, form)
    return 0


def _axes(text: str) -> tuple[str, ...]:
    words = (word.strip() for word in text.split(","))
    return tuple(word for word in words if word not in ("", "none"))
