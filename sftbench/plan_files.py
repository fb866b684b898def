"""Plan files: a request written down in TOML, whose mistakes are told with file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftbench.errors import RequestError, SftbenchError, about
from sftbench.names import one_line, shown
from sftbench.options import validate
from sftbench.protocol import Protocol
from sftbench.request import Request
from sftbench.toml_lines import Key, TooMuchError, key_lines

_MAX_BYTES = 1 << 20
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan file that was read.

    Attributes:
        name: Its path as a person wrote it, safe to print.
        values: Of a `Request`.
        lines: Of each key and element in it, from 1.
    """

    name: str
    values: Mapping[str, Any]
    lines: Mapping[Key, int]

    @contextmanager
    def locating(self, replaced: Mapping[str, Any] | None = None) -> Iterator[None]:
        """Put file and line before each mistake that is about a value of this file.

        Args:
            replaced: Values that came from elsewhere over those of the file, in nested tables;
                a mistake in one of them is not the file's.
        """
        try:
            yield
        except SftbenchError as error:
            place = self._place(error.about, replaced or {})
            if place is not None and error.args:
                error.args = (f"{place}: {error.args[0]}", *error.args[1:])
            raise

    def _place(self, about: Key, replaced: Mapping[str, Any]) -> str | None:
        """Return `plan.toml:3` for the value that a mistake is about, or the nearest around it."""
        found, line = None, None
        value: Any = self.values
        above: Any = replaced
        place: Key = ()
        for part in about:
            if isinstance(above, Mapping) and part in above:
                above = above[part]
                if not isinstance(above, Mapping):
                    return None
            else:
                above = None
            # A value of a list is named by what it is: a request leaves out what stands twice.
            if isinstance(value, list) and isinstance(part, str) and part in value:
                part = value.index(part)  # noqa: PLW2901 - the same part, as the file has it
            place = (*place, part)
            line = self.lines.get(place)
            if line is None:
                break
            found = f"{self.name}:{line}"
            value = _inside(value, part)
        return found


def read_plan_file(path: Path) -> PlanFile:
    """Read a plan file (TOML) into the values of a `Request`.

    Raises:
        RequestError: No such file, not TOML, an unknown key, or a value that is not allowed.
    """
    name = one_line(str(path))
    text = _text(path, name)
    try:
        lines = key_lines(text)
        values = tomllib.loads(text)
    except TooMuchError as error:
        raise RequestError(f"{name}:{error.line}: {error.what}") from None
    except tomllib.TOMLDecodeError as error:
        raise RequestError(_not_toml(name, str(error), text)) from None
    except (ValueError, RecursionError) as error:
        raise RequestError(f"plan {name}: {one_line(str(error))}") from None
    found = PlanFile(name, values, lines)
    with found.locating():
        _check(values)
    return found


def _text(path: Path, name: str) -> str:
    """Return the text of a file of at most `_MAX_BYTES`, with plain ends of lines."""
    try:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise RequestError(f"plan {name}: not a regular file")  # a pipe may never end
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(f"plan {name}: {error.strerror or error}") from None
    except ValueError as error:  # a null character in the name
        raise RequestError(f"plan {name}: {error}") from None
    if len(data) > _MAX_BYTES:
        raise RequestError(f"plan {name}: larger than 1 MiB")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RequestError(f"{name}:{line}: is not UTF-8 text") from None


def _not_toml(name: str, message: str, text: str) -> str:
    """Return the parser's message with its place in front: `plan.toml:3: Invalid value`."""
    at = _PLACE.search(message)
    line, column = (int(at[1]), f", column {at[2]}") if at else (text.count("\n") + 1, "")
    return one_line(f"{name}:{line}: not TOML{column}: {_PLACE.sub('', message)}")


def _check(values: Mapping[str, Any]) -> None:
    """Check the values of a plan file; a key of the protocol is told where it belongs."""
    for key in values:
        if key not in Request.model_fields and key in Protocol.model_fields:
            with about(key):
                raise RequestError(f"{shown(key)} is the protocol's; write it below [changes]")
    validate(Request, values, "plan")


def _inside(value: object, part: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None
