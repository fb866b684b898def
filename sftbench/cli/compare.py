"""`sftbench compare`: two groups of a store, down to classes and test examples."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

_WIDTH = 100
_MOST_EXAMPLES = 10_000


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--backbone", "-b", metavar="NAME", help="Only sections of this backbone.")
@click.option("--weights", "-w", metavar="FROM", help="Only of these weights.")
@click.option("--dataset", "-d", metavar="NAME", help="Only of this data set.")
@click.option("--variant", metavar="NAME", help="Only of this variant.")
@click.option("--protocol", metavar="NAME|DIGEST", help="Only of this protocol.")
@click.option("--metric", metavar="NAME", help="Any metric of the records. [the primary one]")
@click.option(
    "--examples",
    type=click.IntRange(0, _MOST_EXAMPLES),
    default=10,
    show_default=True,
    metavar="N",
    help="Test examples to name.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def compare(
    results: Path,
    a: str,
    b: str,
    *,
    backbone: str | None,
    weights: str | None,
    dataset: str | None,
    variant: str | None,
    protocol: str | None,
    metric: str | None,
    examples: int,
    form: str,
    as_json: bool,
) -> int:
    """Compare groups A and B of the records in RESULTS, in every section that has both.

    A and B are strategies, or labels as `sftbench report` shows them. Differences are A minus B:
    estimate and intervals, adjusted p, effect size, probability of improvement, then seed by seed
    (McNemar), class by class, and the test examples on which they differ most. Five or more data
    sets are ranked, too.
    """
    from sftbench.cli.tables import warn
    from sftbench.results import Results

    found = Results(results)
    found.check()
    contrast = found.compare(
        a,
        b,
        metric=metric,
        backbone=backbone,
        weights=weights,
        dataset=dataset,
        variant=variant,
        protocol=protocol,
        num_examples=examples,
    )
    warn(found)
    if as_json or form == "json":
        from sftbench.report.contrast_document import document

        click.echo(json.dumps(document(contrast), indent=2, allow_nan=False))
        return 0
    from sftbench.report import contrast_text

    if form == "markdown":
        click.echo(contrast_text.markdown_contrast(contrast))
    elif sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        width = min(_WIDTH, console.width)
        console.print(contrast_text.render_contrast(contrast, width))
    else:
        click.echo(contrast_text.plain_contrast(contrast, _WIDTH))
    return 0
