"""Names of components, the nearest ones to a wrong name, and text of plugins made safe to print."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# A name is printed in terminals and pages and used in file names, so it is kept plain: parts
# between slashes that begin with a letter or digit, and no two dots in a row.
_PART = r"[A-Za-z0-9][A-Za-z0-9._=+-]*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
MAX_NAME = 100


def is_valid_name(name: str) -> bool:
    """Tell whether `name` (without parameter) may name a component."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None and ".." not in name


def split_reference(reference: str) -> tuple[str, str | None]:
    """Split `longtail:100` into (`longtail`, `100`); a reference without colon has no argument."""
    name, colon, argument = reference.partition(":")
    return name, argument if colon else None


def nearest(wrong: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to `limit` names that look like `wrong`, the most similar first."""
    if len(wrong) > 2 * MAX_NAME:
        return []
    known = sorted(set(names))
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.lower(), by_lower, n=limit, cutoff=0.5)
    if not close:
        close = [low for low in by_lower if len(wrong) > 2 and wrong.lower() in low][:limit]
    return [by_lower[low] for low in close]


def unknown_name(kind: str, wrong: str, names: Iterable[str], plural: str | None = None) -> str:
    """Return the one line that answers an unknown name of a `kind` (singular).

    Args:
        kind: What was asked for, in the singular.
        wrong: The name that nothing has.
        names: Those that something has.
        plural: Of `kind`, where it is not `kind` and an s.
    """
    known = sorted(set(names))
    close = nearest(wrong, known)
    if close:
        hint = f"did you mean {' or '.join(repr(name) for name in close)}?"
    elif len(known) <= 12:
        hint = f"known: {', '.join(known) or 'none'}"
    else:
        hint = f"see: sftbench list {plural or f'{kind}s'}"
    return f"unknown {kind} {shown(wrong)}; {hint}"


def one_line(text: str, limit: int = 300) -> str:
    """Return `text` of a plugin as one line of at most `limit` characters, safe to print.

    White space is collapsed. Control characters, ANSI escapes and marks that turn the direction
    of writing appear as Python's escapes, so a terminal shows them and does not obey.
    """
    # Only a beginning is looked at, so that a message of megabytes costs nothing.
    words = " ".join(text[: 20 * limit].split())
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in words)
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def shown(value: object, limit: int = 120) -> str:
    """Return what a person or plugin gave, in quotes where it is text, as one short line."""
    return one_line(repr(value[:limit] if isinstance(value, str) else value), limit)


def cause(error: BaseException) -> str:
    """Return `Type: message` of an exception that a plugin raised, as one line."""
    name = type(error).__name__
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001 - the text of an exception is a plugin's code too
        text = ""
    return one_line(f"{name}: {text}" if text else name)
