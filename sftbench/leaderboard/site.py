"""A leaderboard as a folder of static files: pages, and beside each its data as JSON and Parquet.

It is written whole to a temporary folder beside its place, and swapped in.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sftbench.errors import RequestError
from sftbench.leaderboard.reading import Collected, collect
from sftbench.leaderboard.site_data import Topic, document, ranked, rows, topics
from sftbench.leaderboard.site_pages import overview, topic_page
from sftbench.pages.page import render_page
from sftbench.progress import Progress, silent

_MARK: Final = "index.json"
_MARKED: Final = b'{"kind":"sftbench-leaderboard"'
_TEXTS = frozenset(
    [
        "task",
        "metric",
        "direction",
        "dataset",
        "variant",
        "backbone",
        "weights",
        "protocol",
        "protocol_digest",
        "strategy",
        "label",
        "options",
        "package",
    ]
)
_NUMBERS = frozenset(
    ["mean", "mean_over_completed", "mean_low_test_set", "mean_high_test_set", "seconds_per_cell"]
)


@dataclass(frozen=True, slots=True)
class Built:
    """What was built: cells with a record, pages, and what was left alone."""

    num_records: int
    num_pages: int
    found: Collected


def build(stores: Sequence[Path], site: Path, progress: Progress = silent) -> Built:
    """Build the site of some stores.

    Args:
        stores: The first one counts where several ran a cell.
        site: A folder that is not there, is empty, or holds such a site, which is replaced.
        progress: Is told how far it is.

    Raises:
        RequestError: A store is empty, or `site` is something else.
    """
    _check(site)
    found = collect(stores, progress)
    return Built(len(found.runs), write_site(found, site, progress=progress), found)


def write_site(
    found: Collected,
    site: Path,
    only: Collection[str] = (),
    progress: Progress = silent,
) -> int:
    """Write the pages of what was collected, and return how many there are.

    Args:
        found: From `collect`.
        site: As for `build`.
        only: Paths of the pages to write, without ending; none: all.
        progress: As for `build`.

    Raises:
        RequestError: `site` is something else than a site, or cannot be written.
    """
    _check(site)
    every = ranked(found)
    pages = [topic for topic in topics(every) if not only or topic.path in only]
    temporary = site.with_name(f".{site.name}.{secrets.token_hex(8)}.tmp")
    try:
        for number, topic in enumerate(pages):
            progress("writing pages", number, len(pages))
            page = topic_page(topic) if topic.kind else overview(topic, every, found)
            _write(temporary / topic.path, render_page(page), document(topic, every), topic)
        _swap(temporary, site)
    except OSError as error:
        raise RequestError(f"cannot write {site}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(pages)


def _check(site: Path) -> None:
    """Refuse a place that something else has.

    Raises:
        RequestError: With what to do.
    """
    told = f"{site} is not a leaderboard that sftbench built; choose a folder that is not there"
    if site.is_symlink() or (site.exists() and not site.is_dir()):
        raise RequestError(told)
    if not site.is_dir() or not any(site.iterdir()):
        return
    mark = site / _MARK
    if mark.is_symlink() or not mark.is_file():
        raise RequestError(told)
    with mark.open("rb") as file:
        if file.read(len(_MARKED)) != _MARKED:
            raise RequestError(told)


def _write(place: Path, html: str, data: dict[str, Any], topic: Topic) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # A name may hold a dot, so the ending is added, not replaced.
    Path(f"{place}.html").write_text(html, encoding="utf-8")
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    Path(f"{place}.json").write_text(f"{text}\n", encoding="utf-8")
    _write_parquet(Path(f"{place}.parquet"), rows(topic))


def _write_parquet(path: Path, found: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def kind(name: str) -> Any:
        if name in _TEXTS:
            return pa.string()
        return pa.float64() if name in _NUMBERS else pa.int64()

    schema = pa.schema([(name, kind(name)) for name in found[0]])
    pq.write_table(pa.Table.from_pylist(found, schema=schema), path, compression="zstd")


def _swap(temporary: Path, site: Path) -> None:
    """Put the new site in its place; the old one is there until then, and back if that fails."""
    old = site.with_name(f".{site.name}.{secrets.token_hex(8)}.old")
    if site.exists():
        site.rename(old)
    try:
        temporary.rename(site)
    except BaseException:
        if old.exists():
            old.rename(site)
        raise
    shutil.rmtree(old, ignore_errors=True)
