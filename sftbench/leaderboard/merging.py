"""A checked submission becomes part of a store: all of it, or nothing.

Every record and every prediction is written anew by this sftbench, so no byte of the bundle gets
into the store. They are staged in a hidden folder first. A journal in it, written last, is the
point of no return: with it the staged files are moved to their places, and a merge that was killed
while it moved them is finished by the next one. Every attempt on its own is whole at any moment
(its record is moved last), so readers see a valid store throughout.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from sftbench.attempts import as_read, reserved, write_numbered, write_plan
from sftbench.catalog import Catalog
from sftbench.errors import RecordError, RequestError
from sftbench.files import make_folder, read_plain, sync_folder, validated, write_json
from sftbench.leaderboard.checking import Attempt, Submission, checked
from sftbench.leaderboard.recomputing import Recomputing
from sftbench.store import Store

_LOCK = ".merge.lock"
_STAGE = ".merge-"
_JOURNAL = "journal.json"
_MAX_JOURNAL_BYTES = 64 << 20
_WAIT_SECONDS = 600


class _Journal(BaseModel):
    """Files below the stage, in the order in which they are moved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    moves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: attempts added, attempts that were there already, plans added."""

    added: int
    duplicates: int
    plans: int
    submission: Submission


def merge(bundle: Path, into: Path, catalog: Catalog, *, accept_new: bool = False) -> Merged:
    """Check a bundle against a store and add what is new, all or nothing.

    Args:
        bundle: A zip of somebody else.
        into: The store; it need not exist.
        catalog: Whose tasks and metrics compute its numbers again.
        accept_new: Whether data sets and protocols that the store does not know are accepted.

    Raises:
        RequestError: The bundle has mistakes, or the store cannot be written: nothing was added.
    """
    with ExitStack() as held:
        found = None
        if _is_new(into):
            if not accept_new:
                raise RequestError(
                    f"{into} holds no results, so no data set or protocol is known there: "
                    "--accept-new takes those of the bundle"
                )
            # A bundle that is refused leaves no folder and no lock behind.
            found = held.enter_context(_accepted(bundle, into, catalog, accept_new=True))
        held.enter_context(_locked(into))
        finish_interrupted(into)
        if found is None or not _is_new(into):
            found = held.enter_context(_accepted(bundle, into, catalog, accept_new=accept_new))
        new = [one for one in found.attempts if one.where not in found.duplicates]
        plans = _add(into, new, found, Recomputing(catalog))
    return Merged(len(new), len(found.duplicates), plans, found)


def _is_new(into: Path) -> bool:
    """Whether nothing was ever merged, nor is about to be."""
    return not Store(into).exists and not any(into.glob(f"{_STAGE}*/"))


@contextlib.contextmanager
def _accepted(
    bundle: Path, into: Path, catalog: Catalog, *, accept_new: bool
) -> Iterator[Submission]:
    """Check a bundle against a store as `checked` does.

    Raises:
        RequestError: It has mistakes.
    """
    store = Store(into)
    with checked(bundle, catalog, store, accept_new=accept_new) as found:
        if found.errors:
            command = ["sftbench", "leaderboard", "validate", str(bundle)]
            if store.exists:
                command += ["--against", str(into), *(["--accept-new"] if accept_new else [])]
            raise RequestError(
                f"{bundle}: {len(found.errors)} mistakes, so nothing was added; the first: "
                f"{found.errors[0].where}: {found.errors[0].what} (all of them: "
                f"{shlex.join(command)})"
            )
        yield found


def finish_interrupted(into: Path) -> None:
    """Finish what a killed merge had decided, and throw away what it had not."""
    for stage in sorted(into.glob(f"{_STAGE}*/")):
        journal = stage / _JOURNAL
        if journal.exists() and not stage.is_symlink():
            moves = validated(_Journal, read_plain(journal, _MAX_JOURNAL_BYTES)).moves
            _move(stage, into, moves)
        shutil.rmtree(stage)


@contextlib.contextmanager
def _locked(into: Path) -> Iterator[None]:
    try:
        make_folder(into)
        with FileLock(into / _LOCK, timeout=_WAIT_SECONDS):
            yield
    except Timeout:
        raise RequestError(
            f"another merge has held {into} for {_WAIT_SECONDS} s; wait for it to end"
        ) from None
    except OSError as error:
        raise RequestError(
            f"cannot write to the store {into}: {error.strerror or error}; nothing was added"
        ) from None


def _add(into: Path, new: list[Attempt], found: Submission, recomputing: Recomputing) -> int:
    """Stage, decide and move; return how many plans are new."""
    stage = into / f"{_STAGE}{secrets.token_hex(8)}"
    with ExitStack() as held:
        moves: list[str] = []
        try:
            for attempt in new:
                moves += _staged(stage, into, attempt, recomputing, held)
            fresh = [plan for _, plan in found.plans if not _has_plan(into, plan.plan_id)]
            for plan in fresh:
                make_folder(stage / "plans")
                moves.append(str(write_plan(stage / "plans", plan).relative_to(stage)))
            if moves:
                write_json(stage / _JOURNAL, _Journal(moves=tuple(moves)), _MAX_JOURNAL_BYTES)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        try:
            _move(stage, into, moves)
        except BaseException:
            _take_back(stage, into, moves)
            raise
        shutil.rmtree(stage, ignore_errors=True)
    return len(fresh)


def _staged(
    stage: Path, into: Path, attempt: Attempt, recomputing: Recomputing, held: ExitStack
) -> list[str]:
    """Write an attempt into the stage under a number that stays reserved until it is moved."""
    record = attempt.record
    place = Path("cells") / record.cell_id
    for part in (into / "cells", into / place):
        if part.is_symlink():
            raise RecordError(f"{part} is a symbolic link, which is not followed")
    make_folder(into / place)
    number = held.enter_context(reserved(into / place))
    make_folder(stage / place)
    outputs = attempt.outputs() or None
    resampled = recomputing.resampled(record, outputs or {})
    write_numbered(stage / place, as_read(record, outputs), outputs, resampled, number)
    names = sorted(path.name for path in (stage / place).iterdir())
    # The record is moved last: until then nobody sees what is beside it.
    return [str(place / name) for name in sorted(names, key=lambda name: name.endswith(".json"))]


def _has_plan(into: Path, plan_id: str) -> bool:
    path = into / "plans" / f"{plan_id}.json"
    return path.exists() or path.is_symlink()


def _move(stage: Path, into: Path, moves: tuple[str, ...] | list[str]) -> None:
    """Move what is still staged to its place, in order."""
    for name in moves:
        source, target = stage / name, into / name
        if source.exists():
            make_folder(target.parent)
            source.rename(target)
    for folder in {(into / name).parent for name in moves}:
        sync_folder(folder)


def _take_back(stage: Path, into: Path, moves: list[str]) -> None:
    """Undo moves, the last first: a record goes before its predictions do."""
    (stage / _JOURNAL).unlink(missing_ok=True)
    for name in reversed(moves):
        if not (stage / name).exists():
            (into / name).unlink(missing_ok=True)
    shutil.rmtree(stage, ignore_errors=True)
