"""`sftbench explain`: the story of one group or one cell, in the terminal or as one HTML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sftbench.results import Results
    from sftbench.story.tell import Story

_WIDTH = 100


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("target", metavar="CELL-OR-GROUP")
@click.option("--backbone", "-b", metavar="NAME", help="The group with this backbone.")
@click.option("--weights", "-w", metavar="FROM", help="The group with these weights.")
@click.option("--dataset", "-d", metavar="NAME", help="The group on this data set.")
@click.option("--variant", metavar="NAME", help="The group on this variant.")
@click.option("--protocol", metavar="NAME|DIGEST", help="The group under this protocol.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one HTML file, with plots and pictures of the worst errors.",
)
def explain(
    results: Path,
    target: str,
    *,
    backbone: str | None,
    weights: str | None,
    dataset: str | None,
    variant: str | None,
    protocol: str | None,
    output: Path | None,
) -> int:
    """Tell the story of one group or one cell of the records in RESULTS.

    CELL-OR-GROUP is a strategy, a label as `sftbench report` shows it, the number of its row
    there, or the id of a cell (four digits of its beginning are enough). Told are: what happened
    when, which classes suffered, what was taken for what, the worst errors, calibration before
    and after temperature scaling, each criterion with the number found, and what to try next.
    """
    from sftbench.cli.tables import warn
    from sftbench.results import Results

    found = Results(results)
    found.check()
    story = found.story(
        target,
        backbone=backbone,
        weights=weights,
        dataset=dataset,
        variant=variant,
        protocol=protocol,
    )
    warn(found)
    if output is not None:
        _write(found, story, output)
    else:
        _print(story)
    return 0


def _print(story: Story) -> None:
    from sftbench.story.text import plain_story, render_story

    if not sys.stdout.isatty():
        click.echo(plain_story(story, _WIDTH))
        return
    from rich.console import Console

    console = Console()
    console.print(render_story(story, min(_WIDTH, console.width)))


def _write(found: Results, story: Story, output: Path) -> None:
    """Write the page.

    Raises:
        RequestError: The file cannot be written.
    """
    from sftbench.errors import RequestError
    from sftbench.story.page import story_page
    from sftbench.thumbnails import Thumbnails, thumbnails_of

    pictures = Thumbnails()
    if story.first is not None and story.mistakes:
        wanted = [one.index for one in story.mistakes]
        pictures = thumbnails_of(story.first, wanted, found.catalog)
    text = story_page(story, pictures, found.store.path)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"wrote {output}", err=True)
