"""`sftbench doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import dataclasses
import itertools
import json
import textwrap
from typing import Any

import click

from sftbench.cli.axes import completes

_WIDTH = 100
_FOLD: Any = {
    "subsequent_indent": " " * 6,
    "break_long_words": False,
    "break_on_hyphens": False,
    "drop_whitespace": True,
}


@click.command()
@click.option("--probe", is_flag=True, help="Time one backbone's training steps here instead.")
@click.option(
    "--backbone",
    "-b",
    metavar="NAME",
    shell_complete=completes("backbone"),
    help="What --probe times. [that of the main job]",
)
@click.option("--image-size", type=click.IntRange(8, 4096), help="Pixels, for --probe.")
@click.option("--batch-size", type=click.IntRange(2, 65_536), help="Examples, for --probe.")
@click.option(
    "--device", default="auto", show_default=True, help="For --probe: auto, cpu, cuda, cuda:N, mps."
)
@click.option("--compile", "compiling", is_flag=True, help="With --probe: time compiling, too.")
@click.option("--again", is_flag=True, help="With --probe: measure anew what the cache has.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(*, probe: bool, as_json: bool, **options: Any) -> int:
    """Tell what this machine has, and the command for each thing that is missing.

    Devices, memory, torch's build, plugins with their load errors, data and weights at hand, the
    cache, and whether the hubs answer (two seconds at most). What needs a look begins with !.

    With --probe: which memory format and precision train a backbone fastest here, by real steps
    on random images with random weights (a few seconds, once; the cache keeps it), and with
    --compile after how many steps compiling has paid (a minute or two).
    """
    if probe:
        from sftbench.cli.probing import print_probe

        return print_probe(**options, as_json=as_json)
    _refuse_without_probe(options)
    from sftbench.diagnosis import diagnose
    from sftbench.discovery import build_catalog

    facts = diagnose(build_catalog())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(fact) for fact in facts], indent=2))
        return 0
    for section, some in itertools.groupby(facts, key=lambda fact: fact.section):
        click.echo(f"{section}:")
        for fact in some:
            mark = " " if fact.is_well else "!"
            click.echo(textwrap.fill(f"{mark} {fact.name}: {fact.text}", _WIDTH, **_FOLD))
            if fact.command:
                click.echo(f"      {'get it' if fact.is_well else 'try'}: {fact.command}")
    wrong = sum(not fact.is_well for fact in facts)
    click.echo(f"{wrong} things need a look" if wrong else "nothing is wrong")
    return 0


def _refuse_without_probe(options: dict[str, Any]) -> None:
    """Raise RequestError where an option has no effect."""
    from sftbench.errors import RequestError

    names = {"compiling": "compile"}
    for key, value in options.items():
        if value not in {None, False, "auto"}:
            option = names.get(key, key).replace("_", "-")
            raise RequestError(f"--{option} belongs to --probe")
