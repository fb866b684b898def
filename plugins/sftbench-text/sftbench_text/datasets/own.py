"""A person's own texts: a table, or a file of JSON lines, with a text and a label in each."""

from __future__ import annotations

import csv
import io
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from sftbench.api import Dataset, DatasetInfo, Examples, Options, Split, UnavailableError
from sftbench.builtin.datasets.labelled import check_classes, class_name_problem
from sftbench.names import nearest, one_line, shown
from sftbench_text.datasets.tables import MAX_TEXT, large_fields
from sftbench_text.datasets.texts import HELD_OUT, TASK, Texts
from sftbench_text.queries import parse_query

_MAX_BYTES: Final = 1 << 30
_SPLITS: Final = ("train", "test", "val")


class FileOptions(Options):
    """`path`: a file, then `?text=COLUMN&label=COLUMN` where they are called otherwise."""

    path: str = Field(min_length=1, max_length=4000)


class Columns(Options):
    """What the columns are called."""

    text: str = Field("text", min_length=1)
    label: str = Field("label", min_length=1)
    split: str = Field("split", min_length=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One example: the number of its line, its text, its label, its split (or empty)."""

    line: int
    text: str
    label: str
    split: str


class OwnTexts(Dataset):
    """A file of a person. Columns `text`, `label` and, optionally, `split` (train, test, val).

    Without `test`, `val` is the test split; beside `test` it is not used. Without a column `split`
    a fifth of each class is held out, the same for every run. Classes are the labels of `train`, in
    order (of numbers, where all are). Every mistake is told with the file and the line.
    """

    options_model = FileOptions
    options: FileOptions
    argument = "path"

    @abstractmethod
    def rows(self, file: Path, columns: Columns) -> Iterator[Row]:
        """Read a file.

        Raises:
            UnavailableError: `FILE line N: why`.
        """

    def info(self) -> DatasetInfo:
        """Read the file, and describe it.

        Raises:
            RequestError: A choice behind `?` is wrong.
            UnavailableError: It is not there, or a line of it is not as it should be.
        """
        found = self._found()
        return DatasetInfo(
            name=self.reference,
            class_names=found.class_names,
            num_train=len(found.parts["train"].texts),
            num_test=len(found.parts["test"].texts),
            task=TASK,
            source=f"texts in {one_line(self._file_and_columns()[0])}; {found.told}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return the texts of a split, whole.

        Raises:
            UnavailableError: The file is not there, or not as it should be.
        """
        found = self._found()
        return found.parts[split].examples(found.class_names)

    def _file_and_columns(self) -> tuple[str, Columns]:
        return parse_query(self.options.path, Columns, f"dataset {shown(self.reference)}")

    def _found(self) -> _Listing:
        name, columns = self._file_and_columns()
        try:
            file = Path(name).expanduser()
            state = file.stat()
            is_file = file.is_file()
        except (OSError, RuntimeError, ValueError):  # no home, a name too long, a null character
            is_file = False
        if not is_file:
            raise UnavailableError(f"{one_line(name)}: no such file")
        return _listing(type(self), file, columns, state.st_size, state.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The examples of a file by split; `told` says whose test split it is."""

    class_names: tuple[str, ...]
    parts: Mapping[Split, Texts]
    told: str


@lru_cache(maxsize=4)
def _listing(kind: type[OwnTexts], file: Path, columns: Columns, size: int, _time: int) -> _Listing:
    if size > _MAX_BYTES:
        raise UnavailableError(f"{one_line(str(file))}: larger than {_MAX_BYTES >> 20} MiB")
    made = kind(FileOptions(path=str(file)))
    rows = []
    for row in made.rows(file, columns):
        problem = class_name_problem(row.label) or (None if row.text.strip() else "an empty text")
        if problem is None and len(row.text) > MAX_TEXT:
            problem = f"a text of more than {MAX_TEXT:,} characters"
        if problem is None and row.split not in {"", *_SPLITS}:
            problem = f"split {shown(row.split)}; known: {', '.join(_SPLITS)}"
        if problem is not None:
            raise _wrong(file, row.line, problem)
        rows.append(row)
    if not rows:
        raise UnavailableError(f"{one_line(str(file))}: no example in it")
    return _parted(file, rows)


def _parted(file: Path, rows: list[Row]) -> _Listing:
    by_split: dict[str, list[Row]] = {}
    for row in rows:
        by_split.setdefault(row.split, []).append(row)
    if "" in by_split and len(by_split) > 1:
        raise _wrong(file, by_split[""][0].line, "no split; other lines have one")
    if "" in by_split:
        names = _class_names(file, rows)
        parts = _texts(rows).split()
        if not parts["test"].texts:
            raise UnavailableError(
                f"{one_line(str(file))}: every class has one text, so none can be held out as test"
            )
        return _Listing(names, parts, HELD_OUT)
    test_name = "test" if "test" in by_split else "val"
    for name in ("train", test_name):
        if name not in by_split:
            raise UnavailableError(f"{one_line(str(file))}: no line has the split {name}")
    names = _class_names(file, by_split["train"])
    for row in by_split[test_name]:
        if row.label not in names:
            close = nearest(row.label, names)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise _wrong(file, row.line, f"label {shown(row.label)} is not in train{hint}")
    told = f"split {test_name} is the test split"
    if test_name == "test" and "val" in by_split:
        told += f"; {len(by_split['val'])} texts of split val are not used"
    parts = {"train": _texts(by_split["train"]), "test": _texts(by_split[test_name])}
    return _Listing(names, parts, told)


def _texts(rows: list[Row]) -> Texts:
    return Texts(tuple(row.text for row in rows), tuple(row.label for row in rows))


def _class_names(file: Path, rows: list[Row]) -> tuple[str, ...]:
    names = {row.label for row in rows}
    are_numbers = all(name.isascii() and name.isdigit() and len(name) < 19 for name in names)
    ordered = sorted(names, key=lambda name: (int(name) if are_numbers else 0, name))
    check_classes(one_line(str(file)), ordered)
    return tuple(ordered)


class TextCsv(OwnTexts):
    """A table: UTF-8, commas between the columns (tabs in a file `.tsv`), names in the first line.

    A text with a comma, a quote or an end of line in it stands in double quotes.
    """

    name = "text-csv"
    summary = "a table of texts: columns text, label and, if you like, split"

    def rows(self, file: Path, columns: Columns) -> Iterator[Row]:
        """Read the table.

        Raises:
            UnavailableError: `FILE line N: why`.
        """
        delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
        content = io.StringIO(_content(file), newline="")
        with large_fields():
            reader = csv.reader(content, delimiter=delimiter, strict=True)
            try:
                header = _header(file, next(reader, []), columns)
                for cells in reader:
                    if cells:
                        yield _row(file, reader.line_num, cells, header, columns)
            except csv.Error as error:
                raise _wrong(file, reader.line_num, one_line(str(error))) from None


class TextJsonl(OwnTexts):
    """A file with a JSON object in each line: `{"text": "...", "label": "..."}`.

    A label is text, a whole number or true and false; other keys are passed over.
    """

    name = "text-jsonl"
    summary = "JSON lines of texts: keys text, label and, if you like, split"

    def rows(self, file: Path, columns: Columns) -> Iterator[Row]:
        """Read the lines; empty ones are passed over.

        Raises:
            UnavailableError: `FILE line N: why`.
        """
        for number, line in enumerate(_content(file).split("\n"), 1):
            if line.strip():
                yield _json_row(file, number, line, columns)


def _header(file: Path, names: list[str], columns: Columns) -> dict[str, int]:
    names = [name.strip() for name in names]
    for wanted in (columns.text, columns.label):
        if wanted not in names:
            close = nearest(wanted, names)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            there = ", ".join(shown(name, 40) for name in names[:20]) or "none"
            raise _wrong(
                file, 1, f"no column {wanted!r}{hint} (there: {there}); choose with ?text=COLUMN"
            )
    for wanted in (columns.text, columns.label, columns.split):
        if names.count(wanted) > 1:
            raise _wrong(file, 1, f"two columns {wanted!r}")
    return {name: place for place, name in enumerate(names)}


def _row(
    file: Path, line: int, cells: list[str], header: Mapping[str, int], columns: Columns
) -> Row:
    if len(cells) != len(header):
        raise _wrong(file, line, f"{len(cells)} columns; the first line has {len(header)}")
    split = cells[header[columns.split]].strip().lower() if columns.split in header else ""
    if columns.split in header and not split:
        raise _wrong(file, line, f"no split; known: {', '.join(_SPLITS)}")
    return Row(line, cells[header[columns.text]], cells[header[columns.label]].strip(), split)


def _json_row(file: Path, number: int, line: str, columns: Columns) -> Row:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise _wrong(file, number, "not JSON") from None
    if not isinstance(found, dict):
        raise _wrong(file, number, f"a {type(found).__name__}, not an object")
    for wanted in (columns.text, columns.label):
        if wanted not in found:
            there = ", ".join(shown(name, 40) for name in list(found)[:20]) or "none"
            raise _wrong(
                file, number, f"no {wanted!r} (there: {there}); choose with ?text=KEY&label=KEY"
            )
    text, label = found[columns.text], found[columns.label]
    if not isinstance(text, str):
        raise _wrong(file, number, f"{columns.text} is {shown(text, 40)}, not text")
    if not isinstance(label, str | int):
        raise _wrong(file, number, f"{columns.label} is {shown(label, 40)}, no text or number")
    split = found.get(columns.split, "")
    if not isinstance(split, str):
        raise _wrong(file, number, f"{columns.split} is {shown(split, 40)}, not text")
    return Row(number, text, str(label).strip(), split.strip().lower())


def _content(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UnavailableError(f"{one_line(str(file))}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _wrong(file, line, "not UTF-8; save it as UTF-8") from None


def _wrong(file: Path, line: int, why: str) -> UnavailableError:
    return UnavailableError(f"{one_line(str(file), 1000)} line {line}: {why}")
