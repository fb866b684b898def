"""`sftbench doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import dataclasses
import itertools
import json
import textwrap
from typing import Any

import click

_WIDTH = 100
_FOLD: Any = {
    "subsequent_indent": " " * 6,
    "break_long_words": False,
    "break_on_hyphens": False,
    "drop_whitespace": True,
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(*, as_json: bool) -> int:
    """Tell what this machine has, and the command for each thing that is missing.

    Devices, memory, torch's build, plugins with their load errors, data and weights at hand, the
    cache, and whether the hubs answer (two seconds at most). What needs a look begins with !.
    """
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
