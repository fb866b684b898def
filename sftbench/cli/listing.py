"""`sftbench list`: what there is, and whose it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from sftbench.catalog import Offer
    from sftbench.contracts.component import Kind

_WORDS = {
    "backbones": "backbone",
    "datasets": "dataset",
    "variants": "variant",
    "strategies": "strategy",
    "tasks": "task",
    "metrics": "metric",
    "executors": "executor",
    "trackers": "tracker",
}
_MOST_FOUND = 200


@click.command(name="list")
@click.argument("kind", type=click.Choice([*_WORDS, "protocols"]), metavar="KIND")
@click.option("--search", metavar="TEXT", help="Only names and summaries that hold TEXT.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(kind: str, search: str | None, *, as_json: bool) -> int:
    """List components of a KIND.

    KIND is backbones, datasets, variants, strategies, tasks, metrics, executors, trackers or
    protocols. With --search, open families (every timm model) are searched by name too.
    """
    rows = _protocols() if kind == "protocols" else _rows(cast("Kind", _WORDS[kind]), search)
    if search:
        low = search.lower()
        rows = [row for row in rows if low in row["name"].lower() or low in row["summary"].lower()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['summary']}  [{row['from']}]")
    if not rows:
        click.echo(f"no {kind} match {search!r}", err=True)
    return 0


def _rows(kind: Kind, search: str | None) -> list[dict[str, Any]]:
    from sftbench.contracts.component import Family
    from sftbench.discovery import build_catalog

    rows = []
    catalog = build_catalog()
    for offer in catalog.listing(kind):
        rows.append(_row(offer))
        if search and isinstance(offer.target, Family):
            names = [n for n in catalog.family_names(offer) if search.lower() in n.lower()]
            rows.extend(
                {"name": name, "summary": f"of family {offer.name}", "from": offer.plugin.label}
                for name in sorted(names)[:_MOST_FOUND]
            )
    return rows


def _row(offer: Offer) -> dict[str, Any]:
    from sftbench.contracts.component import Family

    name, summary = offer.signature, offer.summary
    if isinstance(offer.target, Family):
        name = f"{offer.target.prefix}*"
        summary += f" (such as {offer.target.example}; --search finds names)"
    return {"name": name, "summary": summary, "from": offer.plugin.label}


def _protocols() -> list[dict[str, Any]]:
    from sftbench.protocol import PROTOCOLS

    return [
        {
            "name": name,
            "summary": f"{p.epochs:g} epochs, batch {p.batch_size}, {p.optimizer}, {p.schedule}",
            "from": "sftbench",
        }
        for name, p in PROTOCOLS.items()
    ]
