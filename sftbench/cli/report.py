"""`sftbench report`: the table of successes and failures, from records alone."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument(
    "results", default="sftbench-results", type=click.Path(path_type=Path), metavar="[RESULTS]"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json", "html"]),
    default="table",
    show_default=True,
)
@click.option("--baseline", metavar="STRATEGY", help="In place of the plan's.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
def report(results: Path, form: str, baseline: str | None, output: Path | None) -> int:
    """Print what worked, what failed and why, from the records in RESULTS."""
    from sftbench.cli.tables import print_results, render, warn
    from sftbench.errors import RequestError
    from sftbench.results import Results

    found = Results(results, baseline=baseline)
    found.check()
    if output is None and form == "table":
        print_results(found, as_json=False)
        return 0
    warn(found)
    text = render(found, form)
    if output is None:
        click.echo(text)
        return 0
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RequestError(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"wrote {output}", err=True)
    return 0
