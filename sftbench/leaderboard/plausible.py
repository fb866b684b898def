"""Versions and times of a submitted record: whether they can be true."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.version import InvalidVersion, Version

from sftbench import __version__
from sftbench.leaderboard.findings import Finding, error, warning
from sftbench.leaderboard.recomputing import Recomputing
from sftbench.names import shown
from sftbench.records import Record, Timing

_VERSIONED = ("python", "sftbench", "torch", "torchvision", "timm", "numpy")
_CLOCKS_DIFFER = dt.timedelta(days=1)
_SECONDS_APART = 2.0
_PARTS = tuple(
    name for name in Timing.model_fields if name.endswith("_seconds") and name != "total_seconds"
)


def versions(where: str, record: Record, recomputing: Recomputing) -> Iterator[Finding]:
    """Check that versions are some, and of no time to come."""
    said = record.provenance.get("versions")
    said = said if isinstance(said, dict) else {}
    for package in _VERSIONED:
        text = said.get(package)
        if text == "not installed" and package != "sftbench":
            continue
        try:
            version = Version(str(text))
        except InvalidVersion:
            if record.status == "ok" or text is not None:
                yield error(where, f"version {shown(text, 40)} of {package} is no version")
            continue
        if package == "sftbench" and version > Version(__version__):
            yield error(
                where,
                f"was made by sftbench {version}, this is {__version__}: update sftbench first",
            )
        elif (here := _installed(package)) is not None and version.major > here.major:
            yield warning(where, f"was made with {package} {version}; here is {here}")
    own, told = recomputing.version_of(record.cell.task), record.cell.versions.get("task")
    if own is not None and told is not None and told != own:
        level = error if told > own else warning
        yield level(
            where, f"task {record.cell.task} is of version {told}, the installed one of {own}"
        )


def _installed(package: str) -> Version | None:
    text = platform.python_version() if package == "python" else None
    try:
        return Version(text or metadata.version(package))
    except (metadata.PackageNotFoundError, InvalidVersion):
        return None


def times(where: str, record: Record) -> Iterator[Finding]:
    """Check that a record began before it ended, not in the future, and took as long as it says."""
    try:
        started, finished = map(_moment, (record.started_at, record.finished_at))
    except ValueError:
        yield error(where, "started_at and finished_at are not times in ISO 8601 with a time zone")
        return
    if started > finished:
        yield error(where, "ended before it began")
    elif record.timing.total_seconds > (finished - started).total_seconds() + _SECONDS_APART:
        yield error(where, "took longer than from its begin to its end")
    if finished > dt.datetime.now(dt.UTC) + _CLOCKS_DIFFER:
        yield error(where, f"ended in the future, at {shown(record.finished_at, 40)}")
    timing = record.timing
    if min(value for value in timing.model_dump().values() if value is not None) < 0:
        yield error(where, "has a time below 0")
    total = timing.total_seconds
    parts = sum(getattr(timing, name) for name in _PARTS)
    if parts > total * 1.01 + _SECONDS_APART:
        yield error(where, f"took {total:.6g} s by its total, {parts:.6g} s by its parts")


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment
