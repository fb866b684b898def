"""`sftbench plugins`: list, check and new."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def plugins() -> None:
    """Plugins: which are installed, whether one keeps its contracts, and how to begin one."""


@plugins.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(*, as_json: bool) -> int:
    """List every plugin with its distribution, what it brings, or why it does not load."""
    from sftbench.discovery import build_catalog

    found = build_catalog().plugins
    if as_json:
        rows = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "components": plugin.components,
                "error": plugin.error,
            }
            for plugin in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    for plugin in found:
        click.echo(f"{plugin.name}  {plugin.label}  {plugin.components} components")
        if plugin.error:
            click.echo(f"  problem: {plugin.error}")
    return 0


@plugins.command()
@click.argument("name")
def check(name: str) -> int:
    """Run the contract checks on every component of plugin NAME, and say which rule broke."""
    from sftbench.testing import check_plugin

    findings = check_plugin(name)
    failed = 0
    for finding in findings:
        failed += finding.problem is not None
        click.echo(f"{finding.component}: {finding.rule}: {finding.outcome}")
    click.echo(f"{len(findings)} checks, {failed} broken")
    return 1 if failed else 0


@plugins.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder in which the package's folder is made.  [default: here]",
)
def new(name: str, into: Path) -> int:
    """Write a working plugin package NAME, with a strategy, tests and continuous integration."""
    from sftbench.scaffold import write_package

    folder = write_package(name, into)
    click.echo(f"wrote {folder}")
    click.echo(f"next: pip install -e {folder} && sftbench plugins check {folder.name}")
    return 0
