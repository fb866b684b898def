"""What the cache holds: printed, and pruned."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sftbench.cli.columns import print_columns

if TYPE_CHECKING:
    from sftbench.cache import Entry


def print_entries(sections: Sequence[str], *, as_json: bool) -> int:
    """Print the entries of some sections, with sizes and the time of their last use."""
    from sftbench import cache

    cache.limit_bytes()
    found = cache.entries(*sections)
    if as_json:
        rows = [
            {
                "key": f"{entry.section}/{entry.key}",
                "bytes": entry.size,
                "used": dt.datetime.fromtimestamp(entry.used, dt.UTC).isoformat(),
                "path": str(entry.path),
                "note": entry.note,
            }
            for entry in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    shown = [[f"{e.section}/{e.key}", size_text(e.size), _age(e), e.note] for e in found]
    print_columns(["key", "size", "last used", "note"], shown, right={1})
    total = size_text(sum(entry.size for entry in found))
    click.echo(f"{len(found)} entries, {total}, in {cache.cache_root()}", err=True)
    return 0


def prune_entries(sections: Sequence[str], keys: Sequence[str]) -> int:
    """Remove entries by SECTION/NAME, or all.

    Raises:
        RequestError: There is no such entry; those before it are removed.
    """
    from sftbench import cache
    from sftbench.errors import RequestError
    from sftbench.names import shown

    found = {f"{entry.section}/{entry.key}" for entry in cache.entries(*sections)}
    found |= {f"{section}/{key}" for section, key in cache.broken_off(*sections)}
    for key in sorted(found) if "all" in keys else keys:
        section, slash, name = key.partition("/")
        if not slash or section not in sections:
            raise RequestError(
                f"--prune {shown(key)}: write SECTION/NAME as --cache shows it, or all"
            )
        if not cache.remove(section, name):
            raise RequestError(f"--prune {shown(key)}: the cache has no such entry")
        click.echo(f"removed {key}")
    return 0


def size_text(num_bytes: int) -> str:
    """Return a number of bytes for people: `9.1 MB`."""
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _age(entry: Entry) -> str:
    if not entry.used:
        return "never"
    return f"{dt.datetime.fromtimestamp(entry.used, dt.UTC).astimezone():%Y-%m-%d %H:%M}"
