"""Files that appear whole or not at all, and are read as plain files of a bounded size.

What is read may have been made by somebody else: nothing in it is followed or trusted.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from sftbench.errors import RecordError
from sftbench.names import one_line
from sftbench.plan import digest

ModelT = TypeVar("ModelT", bound=BaseModel)
_SMALL_BYTES = 1 << 20
_MOST_KEYS = 20_000


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that stands under `path` once it is whole and on the disk.

    Until then its name begins with a dot. If anything is raised, nothing is left of it.

    Args:
        path: Where it will stand; the caller sees to it that nobody else writes there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a power cut does not undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, and bring their names to the disk."""
    missing = [folder, *folder.parents]
    missing = missing[: next((i for i, path in enumerate(missing) if path.is_dir()), None)]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


@contextmanager
def plain_file(path: Path, max_bytes: int) -> Iterator[BufferedReader]:
    """Open a file that somebody else may have made.

    Args:
        path: Of a regular file; a symbolic link is not followed.
        max_bytes: Largest size that is accepted.

    Raises:
        RecordError: It is not there, not a regular file, too large, or cannot be read.
    """
    try:
        # A named pipe must not keep the reader waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "is a symbolic link" if path.is_symlink() else (error.strerror or str(error)).lower()
        raise RecordError(f"cannot be opened: {why}") from None
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise RecordError("is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if state.st_size > max_bytes:
            raise RecordError(f"has {state.st_size} bytes; the largest allowed is {max_bytes}")
        yield file


def read_plain(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file that somebody else may have made.

    Raises:
        RecordError: As `plain_file`.
    """
    with plain_file(path, max_bytes) as file:
        try:
            return file.read(max_bytes)
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror or error}") from None


def write_json(path: Path, model: BaseModel, max_bytes: int) -> None:
    """Write a model as a file of its own, whole or not at all.

    Raises:
        RecordError: It is larger than readers accept.
    """
    data = model.model_dump_json(indent=1).encode() + b"\n"
    if len(data) > max_bytes:
        raise RecordError(f"{path} would have {len(data)} bytes; the most is {max_bytes}")
    with whole_file(path) as file:
        file.write(data)


def json_object(data: bytes) -> dict[str, object]:
    """Return the JSON object that somebody else may have written; a number in it may be infinite.

    Raises:
        RecordError: It is cut off, nested too deep, or is no object.
    """
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise RecordError(f"is not complete JSON: {one_line(str(error))}") from None
    if not isinstance(document, dict):
        raise RecordError("is not a JSON object")
    return document


def check_json(data: bytes) -> None:
    """Check that somebody else wrote a JSON object whose numbers are finite.

    Raises:
        RecordError: As `json_object`, or a number is not finite.
    """
    document = json_object(data)
    # 1e999 is JSON, and infinite. Python's encoder tells, but takes longer than all the rest.
    if b"Infinity" in to_json(document, inf_nan_mode="constants"):
        digest_of_json(document)


def digest_of_json(document: dict[str, object]) -> str:
    """Return the digest of what `json_object` returned.

    Raises:
        RecordError: A number is not finite.
    """
    try:
        return digest(document)
    except ValueError:
        raise RecordError("has a number that is not finite") from None


def validated(model: type[ModelT], data: bytes) -> ModelT:
    """Return the model in a JSON text.

    Raises:
        RecordError: With one line about the first mistake.
    """
    if len(data) > _SMALL_BYTES:
        _check_keys(json_object(data))
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise RecordError(mistake(error)) from None


def _check_keys(value: object) -> None:
    """Check that no object in a JSON value has very many keys: each may be a mistake to keep."""
    children: Iterable[object] = ()
    if isinstance(value, dict):
        if len(value) > _MOST_KEYS:
            raise RecordError(f"has an object of {len(value)} keys; the most is {_MOST_KEYS}")
        children = value.values()
    elif isinstance(value, list):
        children = value
    for child in children:
        if isinstance(child, dict | list):
            _check_keys(child)


def mistake(error: Exception) -> str:
    """Return one line about a value that does not fit."""
    if not isinstance(error, ValidationError):
        return one_line(str(error))
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return one_line(f"{key or 'value'}: {first['msg']}")
