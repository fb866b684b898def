"""Where the keys of a TOML text stand: the parser of the standard library does not tell.

It reads TOML as far as lines need it, and takes more than TOML is: whether a text is right, the
parser says. What would keep the parser busy for hours, or sink it, is refused here before.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable

Key = tuple[str | int, ...]
"""A way from the top of a document: keys of tables, positions in arrays."""

# Deeper than any plan; the parser's time grows with the square of a dotted key's length.
MAX_DEPTH = 16
# Python reads no decimal number of more digits than 4300, and 20 is more than any plan needs.
MAX_SCALAR = 1000

_SPACE = re.compile(r"[ \t]*+")
_GAP = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'""")
_DOT = re.compile(r"[ \t]*+\.[ \t]*+")
# One or two quotes may stand before the closing three.
_STRING = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""(?:""?+)?+'
    r"|'''(?:[^']++|'(?!''))*+'''(?:''?+)?+"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]++")


class TooMuchError(Exception):
    """Something in the text goes beyond what is read.

    Args:
        what: In words.
        line: Where, from 1.
    """

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


class _UnknownError(Exception):
    """The text is not TOML from here on."""


def key_lines(text: str) -> dict[Key, int]:
    r"""Return the line of each key, table and array element, counted from 1.

    Args:
        text: With "\n" at the ends of lines. From where it is not TOML on, nothing is told.

    Raises:
        TooMuchError: Nested deeper than `MAX_DEPTH`, or a number longer than `MAX_SCALAR`.
    """
    reader = _Reader(text)
    with contextlib.suppress(_UnknownError):
        reader.document()
    return reader.lines


class _Reader:
    """Goes through a text once; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Key, int] = {}
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._sizes: dict[Key, int] = {}  # of arrays of tables

    def document(self) -> None:
        table: Key = ()
        while True:
            self._skip(_GAP)
            if self.at >= len(self.text):
                return
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_SPACE)
            if self.text[self.at : self.at + 1] not in {"\n", "#", ""}:
                raise _UnknownError

    def _header(self) -> Key:
        """Read `[a.b]` or `[[a.b]]` and return where its keys belong."""
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        line = self._line()
        self.at += brackets
        self._skip(_SPACE)
        parts = self._key()
        self._skip(_SPACE)
        self._expect("]" * brackets)
        place: Key = ()
        for part in parts[:-1]:
            place = self._latest((*place, part))
            self.lines.setdefault(place, line)
        place = (*place, parts[-1])
        self.lines.setdefault(place, line)
        if brackets == 1:
            return place
        self._sizes[place] = self._sizes.get(place, 0) + 1
        place = self._latest(place)
        self.lines[place] = line
        return place

    def _latest(self, place: Key) -> Key:
        """Return the last element of an array of tables, or the table itself."""
        size = self._sizes.get(place)
        if size is None:
            return place
        self.lines.setdefault(place, self._line())
        return (*place, size - 1)

    def _pair(self, table: Key) -> None:
        line = self._line()
        place = table
        for part in self._key():
            place = (*place, part)
            self.lines.setdefault(place, line)
        self._deep(place)
        self._skip(_SPACE)
        self._expect("=")
        self._skip(_SPACE)
        self._value(place)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            match = self._match(_KEY_PART)
            parts.append(_spoken(match))
            if len(parts) > MAX_DEPTH:
                raise TooMuchError("nested too deeply", self._line())
            if not self._skip(_DOT):
                return parts

    def _value(self, place: Key) -> None:
        opened = self.text[self.at : self.at + 1]
        if opened == "[":
            self._items("]", lambda number: self._element((*place, number)))
        elif opened == "{":
            self._items("}", lambda _: self._pair(place))
        elif opened in {'"', "'"}:
            self._match(_STRING)
        elif len(self._match(_SCALAR)) > MAX_SCALAR:
            raise TooMuchError(f"a number of more than {MAX_SCALAR:,} characters", self._line())

    def _items(self, closed: str, read: Callable[[int], None]) -> None:
        """Read what stands between brackets, separated by commas."""
        self.at += 1
        number = 0
        while True:
            self._skip(_GAP)
            if self.text.startswith(closed, self.at):
                self.at += 1
                return
            read(number)
            number += 1
            self._skip(_GAP)
            if not self.text.startswith(closed, self.at):
                self._expect(",")

    def _element(self, place: Key) -> None:
        self._deep(place)
        self.lines[place] = self._line()
        self._value(place)

    def _deep(self, place: Key) -> None:
        if len(place) > MAX_DEPTH:
            raise TooMuchError("nested too deeply", self._line())

    def _line(self) -> int:
        return bisect_right(self._ends, self.at - 1) + 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _UnknownError
        self.at = match.end()
        return match[0]

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Go past what matches; tell whether that was anything."""
        match = pattern.match(self.text, self.at)
        if match is None or match.end() == self.at:
            return False
        self.at = match.end()
        return True

    def _expect(self, word: str) -> None:
        if not self.text.startswith(word, self.at):
            raise _UnknownError
        self.at += len(word)


def _spoken(part: str) -> str:
    """Return the key that a part of a dotted key means."""
    if part[0] not in "\"'":
        return part
    try:
        return next(iter(tomllib.loads(f"{part} = 0")))
    except ValueError:
        raise _UnknownError from None
