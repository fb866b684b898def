"""The append-only store: a folder of records, written by many, read with distrust.

`cells/CELL_ID/attempt-N.json` is an attempt, `attempt-N.parquet` beside it its predictions,
`attempt-N.resampled.parquet` what verdicts take from those, `plans/PLAN_ID.json` a plan. No file is
ever changed. A name that begins with a dot is work in progress, or what a killed
process left of it, and no reader looks at it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sftbench.attempts import (
    ID,
    NAME,
    Outputs,
    as_read,
    read_attempt,
    read_outputs,
    read_plan,
    resampled_name,
    write_attempt,
    write_plan,
)
from sftbench.contracts.task import Predictions
from sftbench.errors import RecordError, RequestError
from sftbench.evaluation.resampling import Resampled
from sftbench.files import make_folder
from sftbench.names import shown
from sftbench.plan import Cell, Plan
from sftbench.records import MISSING, Record
from sftbench.resampled_files import read_resampled, write_resampled

_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True, slots=True)
class Problem:
    """A file of the store that is left alone and not read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class StoreScan:
    """What a store holds at one moment.

    Attributes:
        records: The latest valid attempt of each cell, by cell id.
        attempts: How many attempts of each cell there are, valid or not.
        problems: What was not read.
    """

    records: Mapping[str, Record]
    attempts: Mapping[str, int]
    problems: tuple[Problem, ...]


class Store:
    """A store of records; any number of processes may read and write it.

    Args:
        path: Its folder; it need not exist before something is written.

    Raises:
        RequestError: `path` is something else than a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise RequestError(f"cannot open the store {self.path}: {error.strerror}") from None
        if not stat.S_ISDIR(mode):
            raise RequestError(f"the store {self.path} is not a folder; choose another path")

    @property
    def exists(self) -> bool:
        """Whether anything was ever written here."""
        return any((self.path / name).is_dir() for name in ("cells", "plans"))

    def write(
        self,
        draft: Record,
        outputs: Outputs | None = None,
        resampled: Resampled | None = None,
    ) -> Record:
        """Add an attempt: its predictions first, then its record, each whole or not at all.

        Args:
            draft: With any attempt number; that, `predictions` and `checksum` are filled in here.
            outputs: Predictions by (split, which), or None where there are none.
            resampled: The primary metric of its test predictions, resampled; None leaves that to
                the reader, who then needs the task.

        Returns:
            The record as its readers will see it.

        Raises:
            RecordError: Nothing was written, because no reader would accept it.
            RequestError: The store is not writable.
            OSError: The disk is full or fails; nothing is left of the attempt.
        """
        record = as_read(draft, outputs)
        with self._writing():
            folder = self._folder("cells", record.cell_id)
            make_folder(folder)
            return write_attempt(folder, record, outputs, resampled)

    def add_plan(self, plan: Plan) -> Path:
        """Keep a plan and return its file; a plan that is already there is left as it is.

        Raises:
            RecordError: Its file is there and is not this plan.
            RequestError: The store is not writable.
            OSError: The disk is full or fails; nothing is left of the plan.
        """
        with self._writing():
            folder = self._folder("plans")
            make_folder(folder)
            return write_plan(folder, plan)

    def plans(self) -> list[Plan]:
        """Return the plans that can be read, oldest first."""
        found, _ = self._scan_plans()
        return found

    def latest(self, cell_id: str) -> Record | None:
        """Return the latest valid attempt of one cell, or None.

        Raises:
            RecordError: Its folder is a symbolic link.
        """
        if ID.fullmatch(cell_id) is None:
            return None
        records, _, _ = self.scan_cell(self._folder("cells", cell_id))
        return records[-1] if records else None

    def scan(self) -> StoreScan:
        """Read every attempt of every cell; what cannot be read becomes a problem."""
        records: dict[str, Record] = {}
        attempts: dict[str, int] = {}
        _, problems = self._scan_plans()
        folders, odd = self.cell_folders()
        problems += odd
        for folder in folders:
            valid, count, broken = self.scan_cell(folder)
            problems += broken
            if count:
                attempts[folder.name] = count
            if valid:
                records[folder.name] = valid[-1]
        return StoreScan(records, attempts, tuple(problems))

    def cell_folders(self) -> tuple[list[Path], list[Problem]]:
        """Return the folders of cells, by name, and what lies among them that is none."""
        folders, problems = [], list[Problem]()
        for folder in _entries(self.path / "cells", problems):
            if ID.fullmatch(folder.name) is None:
                reason = "is not the folder of a cell: its name is not 16 hexadecimal digits"
                problems.append(Problem(folder, reason))
            else:
                folders.append(folder)
        return folders, problems

    def predictions(self, record: Record) -> dict[tuple[str, str], Predictions]:
        """Return the predictions of a record by (split, which); {} where it has none.

        Raises:
            RecordError: The file is not the one that was written, or cannot be read.
        """
        if ID.fullmatch(record.cell_id) is None:
            raise RecordError(f"{shown(record.cell_id)} is not the id of a cell")
        return read_outputs(self._folder("cells", record.cell_id), record)

    def tested(self, record: Record) -> Predictions | None:
        """Return the predictions of the test split, selected weights.

        None where none are kept, or the file cannot be read: the scan names it.
        """
        try:
            return self.predictions(record).get(("test", "selected"))
        except RecordError:
            return None

    def resampled(self, record: Record) -> Resampled | None:
        """Return the resampled primary metric that stands beside a record; None where none does.

        Raises:
            RecordError: The file is not of this record, or cannot be read.
        """
        path = self._beside(record)
        if record.predictions is None or not path.exists():
            return None
        try:
            return read_resampled(path, record.predictions.sha256)
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None

    def add_resampled(self, record: Record, resampled: Resampled) -> None:
        """Keep a resampled metric beside a record that has predictions, and none beside it yet."""
        path = self._beside(record)
        if record.predictions is not None and not path.exists():
            with self._writing():
                write_resampled(path, resampled, record.predictions.sha256)

    def _beside(self, record: Record) -> Path:
        if ID.fullmatch(record.cell_id) is None:
            raise RecordError(f"{shown(record.cell_id)} is not the id of a cell")
        return self._folder("cells", record.cell_id) / resampled_name(record.attempt)

    def _folder(self, *parts: str) -> Path:
        """Return a folder of the store, of which no part is a symbolic link."""
        folder = self.path
        for part in parts:
            folder /= part
            if folder.is_symlink():
                raise RecordError(f"{folder} is a symbolic link, which is not followed")
        return folder

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            raise RequestError(
                f"cannot write to the store {self.path}: {error.strerror}; choose another folder"
            ) from None

    def plan_files(self) -> tuple[list[Path], list[Problem]]:
        """Return the files of plans, by name, and what keeps them from being listed."""
        problems: list[Problem] = []
        return _entries(self.path / "plans", problems), problems

    def _scan_plans(self) -> tuple[list[Plan], list[Problem]]:
        found = []
        paths, problems = self.plan_files()
        for path in paths:
            try:
                found.append((path.lstat().st_mtime_ns, path.name, read_plan(path)))
            except RecordError as error:
                problems.append(Problem(path, str(error)))
        return [plan for *_, plan in sorted(found, key=lambda item: item[:2])], problems

    @staticmethod
    def scan_cell(folder: Path) -> tuple[list[Record], int, list[Problem]]:
        """Return the valid attempts of a cell, oldest first, how many there are, and problems.

        Args:
            folder: Of `cell_folders`.
        """
        found, problems = [], list[Problem]()
        for path in _entries(folder, problems):
            if match := NAME.fullmatch(path.name):
                found += [(int(match[1]), path)] if match[2] == "json" else []
            else:
                problems.append(Problem(path, "is not named like an attempt"))
        valid = []
        for number, path in sorted(found):
            try:
                valid.append(read_attempt(path, number))
            except RecordError as error:
                problems.append(Problem(path, str(error)))
        return valid, len(found), problems


def _entries(folder: Path, problems: list[Problem]) -> list[Path]:
    """Return what lies in a folder, by name; what is not followed is added to `problems`."""
    if folder.is_symlink():
        problems.append(Problem(folder, "is a symbolic link, which is not followed"))
        return []
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(Problem(folder, f"cannot be listed: {error.strerror}"))
        return []
    return [folder / name for name in names]


def due(
    plan_cells: Iterable[Cell],
    scan: StoreScan,
    *,
    retry_failed: bool,
    refresh: bool,
    force: bool,
    is_stale: Callable[[Record], bool],
) -> list[Cell]:
    """Return the cells that must run, in the plan's order.

    A cell without a record, or whose end says nothing about the method, always runs.

    Args:
        plan_cells: Cells of the plan.
        scan: What the store holds.
        retry_failed: Also those that ended otherwise than ok.
        refresh: Also those that are ok and stale.
        force: All.
        is_stale: Whether an ok record no longer matches what is installed.
    """

    def must_run(cell: Cell) -> bool:
        record = scan.records.get(cell.cell_id)
        if force or record is None or record.status in MISSING:
            return True
        return refresh and is_stale(record) if record.status == "ok" else retry_failed

    return [cell for cell in plan_cells if must_run(cell)]
