"""A submission, checked as data: nothing in it is believed, nothing of it is run."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sftbench.attempts import read_attempt, read_outputs, read_plan
from sftbench.catalog import Catalog
from sftbench.errors import RecordError
from sftbench.leaderboard.bundles import PLAN, RECORD, Manifest, unpack_bundle
from sftbench.leaderboard.findings import Finding, error, gathered, warning
from sftbench.leaderboard.known import Known, facts_missing
from sftbench.leaderboard.plausible import times, versions
from sftbench.leaderboard.recomputing import Outputs, Recomputing
from sftbench.leaderboard.texts import cell_names, odd_names, record_names, unprintable
from sftbench.names import shown
from sftbench.plan import Plan
from sftbench.records import Record
from sftbench.store import Store

# Logits are noise and hardly shrink; a small file of very many numbers is no run's.
_LEAST_VALUES = 1 << 26
_MOST_GROWTH = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """A record of the submission that was read, and the folder of its predictions."""

    where: str
    record: Record
    folder: Path

    def outputs(self) -> Outputs:
        """Return its predictions by (split, which).

        Raises:
            RecordError: They are not what was written.
        """
        kept = self.record.predictions
        path = self.folder / (kept.file if kept else "")
        size = path.stat().st_size if kept and path.is_file() else 0
        limit = max(_LEAST_VALUES, _MOST_GROWTH * size)
        return read_outputs(self.folder, self.record, limit)


@dataclass(slots=True)
class Submission:
    """What a bundle holds, and what is wrong with it.

    Attributes:
        duplicates: Members whose very record the receiving store has.
    """

    manifest: Manifest
    attempts: list[Attempt] = field(default_factory=list)
    plans: list[tuple[str, Plan]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    duplicates: set[str] = field(default_factory=set)

    @property
    def errors(self) -> list[Finding]:
        """What refuses the submission."""
        return [one for one in self.findings if one.level == "error"]


@contextmanager
def checked(
    bundle: Path, catalog: Catalog, against: Store | None = None, *, accept_new: bool = False
) -> Iterator[Submission]:
    """Check a bundle; its files are there as long as the context is.

    Args:
        bundle: A zip of somebody else.
        catalog: Whose tasks and metrics compute its numbers again.
        against: The store that says which data, splits and protocols are known; None: the bundle
            is compared with itself alone.
        accept_new: Whether data sets and protocols that `against` does not know are accepted.

    Raises:
        RequestError: It is no bundle at all, or goes beyond the limits.
    """
    with tempfile.TemporaryDirectory(prefix="sftbench-bundle-") as folder:
        manifest, findings = unpack_bundle(bundle, Path(folder))
        found = Submission(manifest, findings=findings)
        _read(Path(folder), found)
        kept: Mapping[str, Record] = {}
        known = Known(is_open=True)
        if against is not None:
            kept = against.scan().records
            known = Known.of_store(against, kept, is_open=accept_new)
        _check_plans(found, known, against, kept)
        recomputing = Recomputing(catalog)
        for attempt in found.attempts:
            found.findings += _about(attempt, recomputing, known)
        found.findings = gathered([*found.findings, *_repeated(found, against, kept)])
        yield found


def _read(folder: Path, found: Submission) -> None:
    """Read records and plans with the store's own distrust."""
    broken = {one.where for one in found.findings}
    for name in sorted(one.name for one in found.manifest.members):
        path = folder / name
        if name in broken:
            continue
        try:
            if match := RECORD.fullmatch(name):
                found.attempts.append(Attempt(name, read_attempt(path, int(match[2])), path.parent))
            elif PLAN.fullmatch(name):
                found.plans.append((name, read_plan(path)))
        except RecordError as problem:
            found.findings.append(error(name, str(problem)))
            broken.add(name)
    tables = {
        f"cells/{one.record.cell_id}/{one.record.predictions.file}"
        for one in found.attempts
        if one.record.predictions is not None
    }
    for listed in found.manifest.members:
        name = listed.name
        alone = name.endswith(".parquet") and name not in tables
        if alone and name not in broken and f"{name[:-7]}json" not in broken:
            found.findings.append(error(name, "belongs to no record of the bundle"))


def _check_plans(
    found: Submission, known: Known, against: Store | None, kept: Mapping[str, Record]
) -> None:
    """Check that every cell is in a plan, and what plans ask for beyond what is submitted."""
    submitted = {one.record.cell_id for one in found.attempts}
    planned = {cell.cell_id for _, plan in found.plans for cell in plan.all_cells}
    there = set(kept)
    if against is not None:
        planned |= {cell.cell_id for plan in against.plans() for cell in plan.all_cells}
    for attempt in found.attempts:
        if attempt.record.cell_id not in planned:
            found.findings.append(error(attempt.where, "its cell is in no plan"))
    for where, plan in found.plans:
        found.findings += known.plan_differences(where, plan, submitted)
        known.learn_plan(plan)
        missing = sum(cell.cell_id not in submitted | there for cell in plan.cells)
        if missing:
            told = f"{missing} of its {len(plan.cells)} cells have no record: they count as missing"
            found.findings.append(warning(where, told))
        odd = next((text for cell in plan.all_cells for text in odd_names(cell_names(cell))), None)
        odd = odd or next(iter(odd_names([plan.baseline])), None)
        if odd is not None:
            found.findings.append(error(where, f"{shown(odd, 60)} is not a name to show"))
        found.findings += unprintable(where, plan.model_dump(mode="json"))


def _about(attempt: Attempt, recomputing: Recomputing, known: Known) -> list[Finding]:
    """Return everything that is wrong with one attempt."""
    where, record = attempt.where, attempt.record
    found = [
        error(where, f"{shown(text, 60)} is not a name to show")
        for text in odd_names(record_names(record))
    ]
    if not found:
        found += unprintable(where, record.model_dump(mode="json", exclude={"error"}))
    found += versions(where, record, recomputing)
    found += times(where, record)
    try:
        outputs = attempt.outputs()
    except RecordError as problem:
        found.append(error(where, str(problem).removeprefix(f"{attempt.folder}/")))
        return found
    if record.status == "ok" and (missing := facts_missing(record)):
        found.append(error(where, f"does not name its data: {', '.join(missing)}"))
    else:
        found += known.differences(where, record, outputs)
    found += recomputing.check(where, record, outputs)
    if not any(one.level == "error" for one in found):
        known.learn(record, outputs)
    return found


def _repeated(
    found: Submission, against: Store | None, kept: Mapping[str, Record]
) -> Iterator[Finding]:
    """Yield records that are there more than once; note those that the store has already."""
    refused = {one.where for one in found.errors}
    there = {} if against is None else _checksums(found, against)
    tested = _predicted(kept)
    contents = Counter(content_of(one.record) for one in found.attempts)
    tables: dict[str, list[str]] = {}
    for one in found.attempts:
        if contents[content_of(one.record)] > 1:
            yield error(one.where, "is the same run as another attempt of the bundle")
        if content_of(one.record) in there.get(one.record.cell_id, ()):
            found.duplicates.add(one.where)
        elif one.where not in refused and _is_kept(one.record, kept):
            yield _in_place(one)
        if one.record.predictions is not None:
            tables.setdefault(one.record.predictions.sha256, []).append(one.where)
            other = tested.get(one.record.predictions.sha256, one.record.cell_id)
            if other != one.record.cell_id:
                told = f"has the same predictions, to the byte, as cell {other} of the results"
                yield warning(one.where, told)
    for first, *others in tables.values():
        for other in others:
            yield warning(other, f"has the same predictions, to the byte, as {first}")


def _in_place(one: Attempt) -> Finding:
    """Return what to say of another run of a cell that the results have, and that ended well."""
    if one.record.status == "ok":
        return warning(one.where, "takes the place of a run that the results have")
    told = f"ended {one.record.status}; the results have a run of this cell that ended well"
    return error(one.where, told)


def _is_kept(record: Record, kept: Mapping[str, Record]) -> bool:
    latest = kept.get(record.cell_id)
    return latest is not None and latest.status == "ok"


def _predicted(kept: Mapping[str, Record]) -> dict[str, str]:
    """Return the cell of each predictions file of a store, by the file's SHA-256."""
    return {
        record.predictions.sha256: cell_id
        for cell_id, record in kept.items()
        if record.predictions is not None
    }


def _checksums(found: Submission, against: Store) -> dict[str, set[str]]:
    """Return what the store holds of the cells of a submission, by cell."""
    kept: dict[str, set[str]] = {}
    for cell_id in {one.record.cell_id for one in found.attempts}:
        folder = against.path / "cells" / cell_id
        if folder.is_symlink() or not folder.is_dir():
            continue
        for path in folder.glob("attempt-*.json"):
            match = RECORD.fullmatch(f"cells/{cell_id}/{path.name}")
            if match is None:
                continue
            try:
                kept.setdefault(cell_id, set()).add(content_of(read_attempt(path, int(match[2]))))
            except RecordError:
                continue
    return kept


def content_of(record: Record) -> str:
    """Return the digest of a run, whatever number its attempt has."""
    kept = record.predictions
    if kept is not None:
        kept = kept.model_copy(update={"file": "", "sha256": ""})
    return record.model_copy(update={"attempt": 1, "predictions": kept}).expected_checksum()
