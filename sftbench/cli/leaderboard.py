"""`sftbench leaderboard`: results of many people, from bundle to static site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sftbench.names import one_line

if TYPE_CHECKING:
    from sftbench.leaderboard.checking import Submission
    from sftbench.leaderboard.findings import Finding

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_MOST_SHOWN = 1_000
_MOST_TOLD = 4_000
_BUNDLE = click.argument("bundle", type=_FILE, metavar="BUNDLE")
_ACCEPT_NEW = click.option(
    "--accept-new",
    is_flag=True,
    help="Also data sets and protocols that the results do not know; what they know must be equal.",
)


@click.group()
def leaderboard() -> None:
    """Collect results of many people, and make a static site of them (docs/leaderboard.md)."""


@leaderboard.command()
@click.argument("results", type=_FOLDER, metavar="RESULTS")
@click.option("--output", "-o", "bundle", type=_FILE, required=True, help="The bundle, a .zip.")
@click.option("--name", default="", metavar="WHO", help="Who submits; it stands in the bundle.")
def submit(results: Path, bundle: Path, name: str) -> int:
    """Check the records in RESULTS and pack them with their predictions and plans.

    The latest attempt of each cell goes into the bundle, failures too. Records name the machine,
    the versions and the paths of own data, and hold the traceback of a failure.
    """
    from sftbench.discovery import build_catalog
    from sftbench.errors import RequestError
    from sftbench.leaderboard.bundles import submitter
    from sftbench.leaderboard.submitting import submit as pack

    try:
        submitter(name)
    except ValueError as error:
        raise RequestError(f"--name {error}") from None
    manifest, warnings = pack(results, bundle, build_catalog(), name=name)
    _tell(warnings)
    _say(f"wrote {bundle}: {len(manifest.members)} files", err=True)
    return 0


@leaderboard.command()
@_BUNDLE
@click.option(
    "--against", type=_FOLDER, metavar="RESULTS", help="The receiving results: what is known."
)
@_ACCEPT_NEW
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def validate(bundle: Path, against: Path | None, *, accept_new: bool, as_json: bool) -> int:
    """Say line by line what is wrong with BUNDLE; exit code 0: nothing, 2: it would be refused.

    Names, sizes and SHA-256 of its files, ids and checksums, every metric computed again from the
    predictions, versions and times. With --against also data, splits and protocols. Nothing of
    the bundle is run.
    """
    from sftbench.discovery import build_catalog
    from sftbench.errors import RequestError
    from sftbench.leaderboard.checking import checked
    from sftbench.store import Store

    if against is None and accept_new:
        raise RequestError("--accept-new says what --against RESULTS accepts; give that too")
    if against is not None and not Store(against).exists:
        raise RequestError(f"{against} holds no results; --against names a store")
    store = None if against is None else Store(against)
    with checked(bundle, build_catalog(), store, accept_new=accept_new) as found:
        if as_json:
            click.echo(json.dumps(_document(found, against), indent=1))
        else:
            _print(found, against)
        return 2 if found.errors else 0


@leaderboard.command()
@_BUNDLE
@click.argument("into", type=_FOLDER, metavar="INTO")
@_ACCEPT_NEW
def merge(bundle: Path, into: Path, *, accept_new: bool) -> int:
    """Check BUNDLE against the results INTO and add what is new: all of it, or nothing.

    Records are written anew and get the next number of their cell; the latest attempt counts.
    """
    from sftbench.discovery import build_catalog
    from sftbench.leaderboard.merging import merge as add

    done = add(bundle, into, build_catalog(), accept_new=accept_new)
    _tell(done.submission.findings)
    _say(
        f"added {done.added} records and {done.plans} plans to {into}; "
        f"{done.duplicates} were there already",
        err=True,
    )
    return 0


@leaderboard.command()
@click.argument("stores", nargs=-1, required=True, type=_FOLDER, metavar="STORE...")
@click.option("--output", "-o", "site", type=_FOLDER, required=True, help="The site's folder.")
def build(stores: tuple[Path, ...], site: Path) -> int:
    """Build a static site over the results in STORE...: rankings by task, a page for each name.

    Where several stores ran a cell, the first one named counts. Beside each page stands its data
    as JSON and Parquet. A site that was built before is replaced; another folder is refused.
    """
    from sftbench.cli.telling import progressing
    from sftbench.leaderboard.site import build as write

    with progressing() as (_, progress):
        done = write(stores, site, progress)
    for problem in done.found.problems[:_MOST_SHOWN]:
        _say(f"left alone: {problem.path}: {problem.reason}", err=True)
    _say(f"wrote {site}: {done.num_pages} pages of {done.num_records} records", err=True)
    return 0


def _print(found: Submission, against: Path | None) -> None:
    by = f" by {found.manifest.name}" if found.manifest.name else ""
    _say(f"{len(found.attempts)} records, {len(found.plans)} plans{by}")
    for one in found.findings[:_MOST_SHOWN]:
        _say(str(one))
    if len(found.findings) > _MOST_SHOWN:
        _say(f"and {len(found.findings) - _MOST_SHOWN} more")
    if against is None:
        _say(
            "not checked: whether data, splits and protocols are the receiver's (--against RESULTS)"
        )
    if found.duplicates:
        _say(f"{len(found.duplicates)} records are in {against} already")
    num_errors = len(found.errors)
    _say(f"refused: {num_errors} mistakes" if num_errors else "valid")


def _document(found: Submission, against: Path | None) -> dict[str, object]:
    return {
        "valid": not found.errors,
        "name": found.manifest.name,
        "records": len(found.attempts),
        "plans": len(found.plans),
        "duplicates": len(found.duplicates),
        "compared_with_results": against is not None,
        "findings": [
            {"level": one.level, "where": one.where, "what": one.what} for one in found.findings
        ],
    }


def _tell(findings: list[Finding]) -> None:
    for one in findings[:_MOST_SHOWN]:
        _say(str(one), err=True)


def _say(text: str, *, err: bool = False) -> None:
    """Print one line: names of somebody else are in it, and a terminal or CI log obeys some."""
    click.echo(one_line(text, _MOST_TOLD), err=err)
