"""`sftbench weights`: pretrained weights that are here, and how to bring others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from sftbench.catalog import Catalog
    from sftbench.contracts.backbone import Backbone
    from sftbench.contracts.weights import PackagedWeights

_SECTIONS = ("weights", "pretrained")


@click.group()
def weights() -> None:
    """Weights: which are here, and how to fetch, import and verify them."""


@weights.command(name="list")
@click.option("--cache", "of_cache", is_flag=True, help="What the cache holds, with sizes.")
@click.option("--prune", multiple=True, metavar="KEY", help="Remove an entry, or all.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(prune: tuple[str, ...], *, of_cache: bool, as_json: bool) -> int:
    """List packages that carry weights, and whether they are here; every other is of a hub."""
    from sftbench.cli.caching import print_entries, prune_entries
    from sftbench.cli.columns import print_columns

    if prune:
        return prune_entries(_SECTIONS, prune)
    if of_cache:
        return print_entries(_SECTIONS, as_json=as_json)
    from sftbench.cache import entries
    from sftbench.discovery import build_catalog

    rows = [_row(packaged) for packaged in build_catalog().packaged_weights]
    rows += [
        {"backbone": entry.note.partition(",")[0], "source": "", "licence": "", "sha256": None}
        | {"package": entry.note.partition(", ")[2], "here": str(entry.path), "state": "imported"}
        for entry in entries("weights")
        if entry.key.startswith("imported-")
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    columns = ("backbone", "source", "licence", "package", "state")
    print_columns(columns, [[str(row[column]) for column in columns] for row in rows])
    click.echo(
        "any other backbone of timm or torchvision/: from its hub, at the first run", err=True
    )
    return 0


def _row(packaged: PackagedWeights) -> dict[str, Any]:
    from sftbench.errors import UnavailableError
    from sftbench.weights import locate

    try:
        path = locate(packaged)
        state = "here" if path else "sftbench weights fetch BACKBONE"
    except UnavailableError as error:
        path, state = None, str(error)
    return {
        "backbone": packaged.backbone,
        "package": f"{packaged.package} {packaged.version}",
        "sha256": packaged.sha256,
        "licence": packaged.licence,
        "source": packaged.source,
        "here": None if path is None else str(path),
        "state": state,
    }


@weights.command()
@click.argument("backbone")
def fetch(backbone: str) -> int:
    """Bring the pretrained weights of BACKBONE here: out of a package, or from its hub."""
    from sftbench.cli.telling import telling
    from sftbench.errors import UnavailableError
    from sftbench.models.starting import has_weights, pretrained_problem
    from sftbench.weights import fetch_package, packages_for

    catalog, made = _backbone(backbone)
    if has_weights(made, catalog):
        click.echo(f"weights of {backbone} are here already")
        return 0
    packages = packages_for(made.reference, catalog.packaged_weights)
    with telling() as told:
        if packages:
            told.say(f"taking the weights out of package {packages[0].package} with pip")
            click.echo(f"kept {fetch_package(packages[0])}")
            return 0
        problem = pretrained_problem(made, catalog)
        if problem:
            raise UnavailableError(
                f"{problem}; with a file of them: sftbench weights import {backbone} FILE"
            )
        made.fetch_pretrained(told.say)
    click.echo(f"weights of {backbone} are here")
    return 0


@weights.command(name="import")
@click.argument("backbone")
@click.argument("file", type=click.Path(path_type=Path))
def import_(backbone: str, file: Path) -> int:
    """Take FILE (safetensors, or a state dict of torch) as the pretrained weights of BACKBONE."""
    from sftbench.models.starting import import_file
    from sftbench.weights import imported

    catalog, made = _backbone(backbone)
    if imported(made.reference) is not None:
        click.echo("note: takes the place of those imported before", err=True)
    fitted, folder = import_file(file, made)
    if fitted.head_name:
        click.echo(f"its head {fitted.head_name!r} is kept apart", err=True)
    click.echo(f"kept {folder}")
    click.echo(f"now: sftbench run --backbone {made.reference}")
    shadowed = [p for p in catalog.packaged_weights if p.backbone == made.reference]
    if shadowed:
        click.echo(f"note: package {shadowed[0].package} goes first where it is here", err=True)
    return 0


@weights.command()
@click.argument("backbone", required=False)
def verify(backbone: str | None) -> int:
    """Read the pretrained weights of BACKBONE (without one: all in packages) into its network."""
    from sftbench.discovery import build_catalog
    from sftbench.errors import SftbenchError
    from sftbench.weights import locate

    if backbone is not None:
        click.echo(_verified(backbone))
        return 0
    failed = 0
    for packaged in build_catalog().packaged_weights:
        try:
            if locate(packaged) is not None:
                click.echo(_verified(packaged.backbone))
        except SftbenchError as error:
            failed += 1
            click.echo(f"{packaged.backbone}: {error}")
    return 3 if failed else 0


def _verified(name: str) -> str:
    """Load weights strictly, and say their digest."""
    from sftbench.errors import UnavailableError
    from sftbench.models.starting import pretrained, pretrained_problem

    catalog, made = _backbone(name)
    problem = pretrained_problem(made, catalog)
    if problem:
        raise UnavailableError(problem)
    network = made.build(made.info().image_size)
    given = pretrained(made, network, catalog)
    network.load_state_dict(dict(given.state))
    return (
        f"{made.reference}: all {len(given.state)} tensors fit; {given.origin}\n"
        f"  SHA-256 {given.digest}"
    )


def _backbone(name: str) -> tuple[Catalog, Any]:
    from sftbench.discovery import build_catalog
    from sftbench.models.starting import owner

    catalog = build_catalog()
    return catalog, owner(cast("Backbone", catalog.create("backbone", name)))
