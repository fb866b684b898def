"""One attempt of a cell on the disk, and one plan: how each is written, and what is believed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from sftbench.contracts.task import Predictions
from sftbench.errors import RecordError
from sftbench.evaluation.resampling import Resampled
from sftbench.files import (
    check_json,
    digest_of_json,
    json_object,
    mistake,
    plain_file,
    read_plain,
    validated,
    whole_file,
    write_json,
)
from sftbench.names import shown
from sftbench.plan import Plan
from sftbench.predictions import (
    MAX_BYTES,
    MAX_VALUES,
    check_predictions,
    read_predictions,
    write_predictions,
)
from sftbench.records import SCHEMA_VERSION, PredictionsFile, Record, is_imported
from sftbench.resampled_files import write_resampled

Outputs = Mapping[tuple[str, str], Predictions]

ID = re.compile(r"[0-9a-f]{16}")
NAME = re.compile(r"attempt-([1-9][0-9]{0,8})\.(json|parquet|resampled\.parquet)")
_TAKEN = re.compile(r"(?:attempt-([1-9][0-9]{0,8})\..*|\.attempt-([1-9][0-9]{0,8})\.reserved)")
_KINDS = ("json", "parquet")
_MAX_NUMBER = 999_999_999
_MAX_RECORD_BYTES = 32 << 20
_MAX_PLAN_BYTES = 256 << 20


def as_read(draft: Record, outputs: Outputs | None) -> Record:
    """Return a draft as a reader will have it: what JSON cannot say is put in JSON's form.

    In free fields tuples become lists and numbers that are not finite None; half characters (from
    file names) become question marks.

    Raises:
        RecordError: No reader would accept it, or its predictions.
    """
    where = f"the record of cell {draft.cell_id} cannot be kept:"
    try:
        plain = draft.model_dump(mode="json")
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
        record = Record.model_validate_json(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where} {mistake(error)}") from None
    reason = _foreign(record, record.cell_id) or _incomplete(record, kept=bool(outputs))
    if reason:
        raise RecordError(f"{where} it {reason}")
    try:
        check_predictions(outputs or {}, finite=_is_ok(record))
    except RecordError as error:
        raise RecordError(f"{where} {error}") from None
    return record


def write_attempt(
    folder: Path, record: Record, outputs: Outputs | None, resampled: Resampled | None = None
) -> Record:
    """Write predictions and what follows from them, then the record, under the next free number.

    Args:
        folder: Of the cell.
        record: From `as_read`.
        outputs: Predictions by (split, which).
        resampled: Of them, or None.

    Returns:
        The record with its number, predictions and checksum.
    """
    with reserved(folder) as number:
        return write_numbered(folder, record, outputs, resampled, number)


def write_numbered(
    folder: Path, record: Record, outputs: Outputs | None, resampled: Resampled | None, number: int
) -> Record:
    """Write as `write_attempt` does, under a number that the caller has reserved.

    Args:
        folder: Of the cell, or one that it will be moved from.
        record: From `as_read`.
        outputs: Predictions by (split, which).
        resampled: Of them, or None.
        number: Of the attempt.

    Returns:
        The record with its number, predictions and checksum.
    """
    path, table = (folder / f"attempt-{number}.{kind}" for kind in _KINDS)
    beside = folder / resampled_name(number)
    try:
        kept = _write_table(table, outputs) if outputs else None
        if kept is not None and resampled is not None:
            write_resampled(beside, resampled, kept.sha256)
        changes = {"attempt": number, "predictions": kept}
        sealed = record.model_copy(update=changes).sealed()
        write_json(path, sealed, _MAX_RECORD_BYTES)
    except BaseException:
        # An interruption may come just after the record got its name: then all is well.
        if not path.exists():
            table.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)
        raise
    return sealed


def read_attempt(path: Path, number: int) -> Record:
    """Return the record in a file that somebody else may have made.

    Args:
        path: `CELL_ID/attempt-N.json`.
        number: N.

    Raises:
        RecordError: It is not a whole, unchanged record of this cell and attempt.
    """
    data = read_plain(path, _MAX_RECORD_BYTES)
    document = json_object(data)
    version = document.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        told = shown(version, 40)
        raise RecordError(f"schema version {told} is not known to this version of sftbench")
    record = validated(Record, data)
    checksum = digest_of_json({key: document[key] for key in document if key != "checksum"})
    reason = _foreign(record, path.parent.name) or _altered(record, number, checksum)
    if reason is None:
        reason = _incomplete(record, kept=record.predictions is not None)
    if reason is None and record.predictions is not None:
        reason = _absent(path.with_suffix(".parquet"))
    if reason:
        raise RecordError(reason)
    return record


def read_outputs(
    folder: Path, record: Record, most_values: int = MAX_VALUES
) -> dict[tuple[str, str], Predictions]:
    """Return the predictions of a record by (split, which); {} where it has none.

    Args:
        folder: Of its cell.
        record: Of that cell.
        most_values: Outputs times rows that are accepted.

    Raises:
        RecordError: The file is not the one that was written.
    """
    kept = record.predictions
    if kept is None:
        return {}
    path = folder / f"attempt-{record.attempt}.parquet"
    reason = _misnamed(record, record.attempt)
    try:
        with plain_file(path, MAX_BYTES) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != kept.sha256:
                reason = reason or "was changed by hand: its SHA-256 is not the record's"
            file.seek(0)
            found = {}
            if reason is None:
                finite = _is_ok(record)
                found = read_predictions(file, kept.rows, finite=finite, most_values=most_values)
    except RecordError as error:
        reason = str(error)
    if reason:
        raise RecordError(f"{path}: {reason}")
    return found


def resampled_name(number: int) -> str:
    """Return the name of the file with the resampled metric of an attempt."""
    return f"attempt-{number}.resampled.parquet"


def write_plan(folder: Path, plan: Plan) -> Path:
    """Write a plan and return its file; one that is there already is left as it is.

    Raises:
        RecordError: Its file is there and is not this plan.
    """
    path = folder / f"{plan.plan_id}.json"
    if path.exists() or path.is_symlink():
        try:
            read_plan(path)
        except RecordError as error:
            raise RecordError(f"{path}: {error}; move it away") from None
    else:
        # Two writers at once write the same plan: whoever is last changes nothing.
        write_json(path, plan, _MAX_PLAN_BYTES)
    return path


def read_plan(path: Path) -> Plan:
    """Return the plan in a file that somebody else may have made.

    Raises:
        RecordError: It is not a whole, unchanged plan of that name.
    """
    data = read_plain(path, _MAX_PLAN_BYTES)
    check_json(data)
    plan = validated(Plan, data)
    if path.name != f"{plan.plan_id}.json":
        raise RecordError("was changed by hand: the plan in it has another id")
    return plan


@contextlib.contextmanager
def reserved(folder: Path) -> Iterator[int]:
    """Hold the number of a new attempt, which no other process holds or ever used."""
    taken = (_TAKEN.fullmatch(path.name) for path in folder.iterdir())
    number = max((int(found[1] or found[2]) for found in taken if found), default=0) + 1
    while True:
        if number > _MAX_NUMBER:
            raise RecordError(f"{folder} has no number left for another attempt")
        mark = folder / f".attempt-{number}.reserved"
        with contextlib.suppress(FileExistsError):
            mark.touch(exist_ok=False)
            # Whoever held it since the folder was listed gave the mark up after writing.
            if not any(os.path.lexists(folder / f"attempt-{number}.{kind}") for kind in _KINDS):
                break
            mark.unlink()
        number += 1
    try:
        yield number
    finally:
        # A mark that stays only costs a number.
        with contextlib.suppress(OSError):
            mark.unlink()


def _write_table(path: Path, outputs: Outputs) -> PredictionsFile:
    with whole_file(path) as file:
        rows = write_predictions(file, outputs)
        file.flush()
        if file.tell() > MAX_BYTES:
            raise RecordError(f"{path} would have more than {MAX_BYTES} bytes")
    with path.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    return PredictionsFile(file=path.name, sha256=sha256, rows=rows)


def _is_ok(record: Record) -> bool:
    return record.status == "ok"


def _foreign(record: Record, cell_id: str) -> str | None:
    """Return why this is not a record of that cell, or None."""
    if record.cell_id != cell_id:
        return f"belongs to cell {shown(record.cell_id)}, not to {shown(cell_id)}"
    if record.cell.cell_id != cell_id:
        return "was changed by hand: its request has another cell id"
    return None


def _altered(record: Record, number: int, checksum: str) -> str | None:
    """Return why this is not the attempt that was written, or None.

    Args:
        record: As it was read.
        number: By its file's name.
        checksum: Of the text that it was read from.
    """
    if record.attempt != number:
        return f"is attempt {record.attempt} by its content"
    # What was sealed is what was written, so the text itself has the checksum: to look at it first
    # spares most readers a second form of it.
    if checksum != record.checksum != record.expected_checksum():
        return "was changed by hand: checksum does not match"
    return _misnamed(record, number)


def _misnamed(record: Record, number: int) -> str | None:
    name = f"attempt-{number}.parquet"
    if record.predictions is None or record.predictions.file == name:
        return None
    return f"names the predictions file {shown(record.predictions.file)}, not {name!r}"


def _incomplete(record: Record, *, kept: bool) -> str | None:
    """Return why a record that says ok is not a finished run, or None."""
    if not _is_ok(record):
        return None
    if record.primary is None:
        return "says ok without a primary metric"
    if record.value(record.primary.name) is None:
        return f"says ok without a value of {shown(record.primary.name)} on test"
    # A table of results from elsewhere seldom comes with predictions; no run lacks them.
    return None if kept or is_imported(record) else "says ok without predictions"


def _absent(path: Path) -> str | None:
    """Return why the predictions file of a record cannot be there, or None."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return f"its predictions file {path.name} is missing"
    return None if stat.S_ISREG(mode) else f"its predictions file {path.name} is not a plain file"
