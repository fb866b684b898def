"""What the cache holds: printed, and pruned."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

import click


def print_entries(sections: Sequence[str], *, as_json: bool) -> int:
    """Print the entries of some sections, with sizes and the day of their last use."""
    from sftbench.cache import cache_root, entries

    found = entries(*sections)
    if as_json:
        rows = [
            {
                "section": e.section,
                "key": e.key,
                "bytes": e.size,
                "used": _day(e.used),
                "note": e.note,
            }
            for e in found
        ]
        click.echo(json.dumps({"folder": str(cache_root()), "entries": rows}, indent=2))
        return 0
    for entry in found:
        size = f"{entry.size / 1e6:,.1f} MB"
        click.echo(f"{entry.section}/{entry.key}  {size}  used {_day(entry.used)}")
        if entry.note:
            click.echo(f"  {entry.note}")
    total = sum(entry.size for entry in found)
    click.echo(f"{len(found)} entries, {total / 1e6:,.1f} MB, in {cache_root()}")
    return 0


def prune_entries(sections: Sequence[str], keys: Sequence[str]) -> int:
    """Remove entries by KEY or SECTION/KEY, or all.

    Raises:
        RequestError: There is no such entry; the others are removed.
    """
    from sftbench.cache import entries, remove
    from sftbench.errors import RequestError
    from sftbench.names import unknown_name

    found = entries(*sections)
    for key in keys:
        chosen = [e for e in found if key in {"all", e.key, f"{e.section}/{e.key}"}]
        if not chosen and key != "all":
            raise RequestError(unknown_name("cache entry", key, [e.key for e in found], "entries"))
        for entry in chosen:
            if remove(entry.section, entry.key):
                click.echo(f"removed {entry.section}/{entry.key} ({entry.size / 1e6:,.1f} MB)")
    return 0


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date().isoformat()
