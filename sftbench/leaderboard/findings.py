"""What is wrong with a submission, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a submission: an error refuses it, a warning is for a person to judge.

    Attributes:
        level: Whether it refuses the submission.
        where: The member of the bundle that it is about.
        what: One line.
    """

    level: Level
    where: str
    what: str

    def __str__(self) -> str:
        """Return the line that is printed."""
        return f"{self.level}: {self.where}: {self.what}"


def error(where: str, what: str) -> Finding:
    """Return a finding that refuses the submission."""
    return Finding("error", where, what)


def warning(where: str, what: str) -> Finding:
    """Return a finding that a person should look at."""
    return Finding("warning", where, what)


def gathered(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with warnings of one text as one line: the first place and a count."""
    places: dict[str, list[str]] = {}
    for one in findings:
        if one.level == "warning":
            places.setdefault(one.what, []).append(one.where)
    found = []
    for one in findings:
        where = places.get(one.what, [one.where]) if one.level == "warning" else [one.where]
        if one.where == where[0]:
            more = f" and {len(where) - 1} more" if len(where) > 1 else ""
            found.append(replace(one, where=f"{one.where}{more}"))
    return found
