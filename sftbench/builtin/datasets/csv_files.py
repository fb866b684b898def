"""A person's own image files, listed with their labels in a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.labelled import (
    HELD_OUT,
    LabelledFiles,
    Listing,
    Part,
    check_classes,
    class_name_problem,
    split_parts,
)
from sftbench.names import nearest, one_line, shown

COLUMNS: Final = ("path", "label", "split")
SPLITS: Final = ("train", "test", "val")
_MAX_BYTES: Final = 256 << 20
_EXPECTED: Final = "a file with the columns path, label and, if you like, split (train, test, val)"


class Csv(LabelledFiles):
    """A table with the columns `path`, `label` and, optionally, `split`; others are passed over.

    UTF-8, commas between the columns (tabs in a file `.tsv`), names of columns in the first line.
    A path is relative to the table's folder, or absolute. Splits are `train`, `test` and `val`;
    without `test`, `val` is the test split, and beside `test` it is not used: sftbench carves its
    own validation from `train`. Without a column `split`, a fifth of each class is held out, the
    same for every run. Classes are the labels of `train`, in order (of numbers, where all are).
    `dataset.json` beside the table may tell more. Every example may stand in it once.
    """

    name = "csv"
    summary = "a table of images: columns path, label and, if you like, split"

    def listing(self) -> Listing:
        """Read the table.

        Raises:
            UnavailableError: It is not there, or a line of it is not as it should be.
        """
        file = existing_file(self.options.path)
        return _table(file, list(read_rows(file)))

    def notes_folder(self) -> Path:
        """Return the table's folder."""
        return existing_file(self.options.path).parent


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its number, the path as written, the label, the split (or empty)."""

    line: int
    path: str
    label: str
    split: str


def existing_file(path: str) -> Path:
    """Return the file that a person named; `~` is the home folder.

    Raises:
        UnavailableError: There is no such file.
    """
    try:
        file = Path(path).expanduser()
        is_file = file.is_file()
    except (OSError, RuntimeError, ValueError):  # no home, a name too long, a null character
        is_file = False
    if not is_file:
        raise UnavailableError(f"{one_line(path)}: no such file; expected {_EXPECTED}")
    return file


def read_rows(file: Path) -> Iterator[Row]:
    """Read a table line by line.

    Raises:
        UnavailableError: `FILE line N: why`.
    """
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(_text(file), newline=""), delimiter=delimiter, strict=True)
    try:
        header = _header(file, next(reader, []), delimiter)
        for cells in reader:
            if cells:
                yield _row(file, reader.line_num, header, cells)
    except csv.Error as error:
        raise _wrong(file, reader.line_num, one_line(str(error))) from None


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UnavailableError(f"{file}: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise UnavailableError(f"{file}: larger than {_MAX_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _wrong(file, line, "not UTF-8; save the table as UTF-8") from None


def _header(file: Path, cells: list[str], delimiter: str) -> dict[str, int]:
    """Return the place of each column.

    Raises:
        UnavailableError: One is missing, or is there twice.
    """
    names = [cell.strip().lower() for cell in cells]
    between = "tabs" if delimiter == "\t" else "commas"
    other = next((sign for sign in ";\t|" if len(names) == 1 and sign in names[0]), None)
    if other is not None:
        raise _wrong(file, 1, f"columns are separated by {other!r}; separate them by {between}")
    for column in ("path", "label"):
        if column not in names:
            close = nearest(column, names)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            there = ", ".join(shown(name, 40) for name in names[:20]) or "none"
            raise _wrong(
                file, 1, f"no column {column!r}{hint} (columns, by {between} between: {there})"
            )
    for column in COLUMNS:
        if names.count(column) > 1:
            raise _wrong(file, 1, f"two columns {column!r}")
    return {column: names.index(column) for column in COLUMNS if column in names} | {"": len(names)}


def _row(file: Path, line: int, header: Mapping[str, int], cells: list[str]) -> Row:
    if len(cells) != header[""]:
        raise _wrong(file, line, f"{len(cells)} columns; the first line has {header['']}")
    path, label = cells[header["path"]].strip(), cells[header["label"]].strip()
    problem = class_name_problem(label)
    if problem:
        raise _wrong(file, line, problem)
    if not path or "\0" in path:
        raise _wrong(file, line, "a null character in the path" if path else "an empty path")
    split = ""
    if "split" in header:
        split = cells[header["split"]].strip().lower()
        if split not in SPLITS:
            raise _wrong(file, line, f"split {shown(split)}; known: {', '.join(SPLITS)}")
    return Row(line, path, label, split)


@dataclass(slots=True)
class _Draft:
    """The rows of a table by split, and where each path stood."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    seen: dict[str, Row] = field(default_factory=dict)

    def add(self, file: Path, row: Row) -> None:
        """Take in a row.

        Raises:
            UnavailableError: Its path stands in an earlier one.
        """
        earlier = self.seen.setdefault(os.path.normpath(file.parent / row.path), row)
        if earlier is not row:
            what = f"{shown(row.path)} stands in line {earlier.line} already"
            if earlier.label != row.label:
                what += f", with another label ({shown(earlier.label)}, here {shown(row.label)})"
            elif earlier.split != row.split:
                what += f", in another split ({earlier.split}, here {row.split})"
            raise _wrong(file, row.line, f"{what}; an image may stand in one line")
        self.rows.setdefault(row.split, []).append(row)


def _table(file: Path, rows: list[Row]) -> Listing:
    """Sort rows into splits.

    Raises:
        UnavailableError: A path is there twice, a split is empty, or classes are missing.
    """
    draft = _Draft()
    for row in rows:
        draft.add(file, row)
    if not rows:
        raise UnavailableError(f"{file}: no line after the first; expected {_EXPECTED}")
    if "" in draft.rows:
        return _held_out(file, rows)
    train = draft.rows.get("train", [])
    test_name = "test" if "test" in draft.rows else "val"
    test = draft.rows.get(test_name, [])
    for name, found in (("train", train), ("test or val", test)):
        if not found:
            raise UnavailableError(f"{file}: no line has the split {name}")
    names = _class_names(file, train)
    for row in test:
        if row.label not in names:
            close = nearest(row.label, names)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise _wrong(file, row.line, f"label {shown(row.label)} is not in train{hint}")
    unused = len(draft.rows.get("val", [])) if test_name == "test" else 0
    told = f"split {test_name} is the test split"
    return Listing(
        tuple(names),
        {"train": _part(file, train, names), "test": _part(file, test, names)},
        f"{told}; {unused} images of split val are not used" if unused else told,
    )


def _held_out(file: Path, rows: list[Row]) -> Listing:
    names = _class_names(file, rows)
    parts = split_parts(_part(file, rows, names), [row.path for row in rows])
    if not parts["test"].files:
        raise UnavailableError(
            f"{file}: every class has one image, so none can be held out as test split"
        )
    return Listing(tuple(names), parts, HELD_OUT)


def _class_names(file: Path, rows: list[Row]) -> dict[str, int]:
    """Return the classes in order, with their indices; numbers in the order of numbers."""
    names = {row.label for row in rows}
    are_numbers = all(name.isascii() and name.isdigit() and len(name) < 19 for name in names)
    ordered = sorted(names, key=lambda name: (int(name) if are_numbers else 0, name))
    check_classes(file, ordered)
    return {name: index for index, name in enumerate(ordered)}


def _part(file: Path, rows: list[Row], names: Mapping[str, int]) -> Part:
    part = Part()
    for row in rows:
        place = file.parent / row.path
        part.add(place, f"{file} line {row.line}: {place}", names[row.label])
    return part


def _wrong(file: Path, line: int, why: str) -> UnavailableError:
    return UnavailableError(f"{one_line(str(file), 1000)} line {line}: {why}")
