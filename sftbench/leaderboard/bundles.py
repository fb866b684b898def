"""A bundle: a zip of records, predictions and plans, and a manifest with the SHA-256 of each.

The members lie as they do in a store. A bundle of somebody else is data: it is read into a folder
of our own, name by name from a fixed form, and never further than its manifest and our limits say.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, field_validator

from sftbench.errors import RecordError, RequestError, UnavailableError
from sftbench.files import json_object, mistake, plain_file, whole_file
from sftbench.leaderboard.findings import Finding, error
from sftbench.names import shown
from sftbench.unpacking import Member, Readable, members, reading

MANIFEST: Final = "manifest.json"
RECORD: Final = re.compile(r"cells/([0-9a-f]{16})/attempt-([1-9][0-9]{0,8})\.json")
PLAN: Final = re.compile(r"plans/[0-9a-f]{16}\.json")
_MEMBER = re.compile(rf"{RECORD.pattern[:-4]}(?:json|parquet)|{PLAN.pattern}")

MAX_BUNDLE_BYTES: Final = 4 << 30
_MAX_TOTAL_BYTES: Final = 16 << 30
_MOST_GROWTH: Final = 100
_LEAST_LIMIT: Final = 64 << 20
_MOST_MEMBERS: Final = 65_000  # a zip of more needs another form of directory, which is refused
_MOST_DIRECTORY_BYTES: Final = 32 << 20
_MAX_MANIFEST_BYTES: Final = 16 << 20  # the most members take 12
_CHUNK: Final = 1 << 20
_END: Final = 22  # bytes of the record that ends a zip without a comment
_LOCATOR: Final = 20  # bytes of what points to the directory of a larger one
_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the same files make the same bundle
_MAX_VERSION: Final = 100
_UNFIT_IN_NAME: Final = frozenset("<>&\"'`\\")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listed(_Frozen):
    """A member, as the manifest names it."""

    name: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(_Frozen):
    """What a bundle says that it holds; `name` is who submits it, `sftbench` what packed it."""

    kind: Literal["sftbench-submission"] = "sftbench-submission"
    schema_version: Literal[1] = 1
    name: str = ""
    sftbench: str
    members: Annotated[tuple[Listed, ...], FailFast()]

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return submitter(value)

    @field_validator("sftbench")
    @classmethod
    def _version(cls, value: str) -> str:
        return _plain_version(value)


def submitter(name: str) -> str:
    """Return the name of who submits.

    Raises:
        ValueError: It does not fit on a page.
    """
    if len(name) > 100 or not name.isprintable() or _UNFIT_IN_NAME & set(name):
        raise ValueError(
            f"{shown(name, 40)} is no name to show: at most 100 printable characters, "
            "none of < > & \" ' ` \\"
        )
    return name


def _plain_version(text: str) -> str:
    """Return a version in the one form that packages have it in.

    Raises:
        ValueError: It is none.
    """
    try:
        is_plain = len(text) <= _MAX_VERSION and str(Version(text)) == text
    except InvalidVersion:
        is_plain = False
    if not is_plain:
        raise ValueError(f"{shown(text, 40)} is no version")
    return text


def pack(root: Path, names: Iterable[str], bundle: Path, *, name: str, version: str) -> Manifest:
    """Write a bundle, whole or not at all.

    Args:
        root: The store that its members are read from.
        names: Of the members, below `root`.
        bundle: The zip; it is replaced.
        name: Who submits.
        version: Of sftbench.

    Raises:
        RequestError: They are too many, or `bundle` cannot be written.
    """
    names = sorted(names)
    if len(names) > _MOST_MEMBERS:
        raise RequestError(
            f"{len(names):,} files are more than the {_MOST_MEMBERS:,} of a bundle; run parts of "
            "the plan into stores of their own and submit each"
        )
    manifest = Manifest(
        name=name, sftbench=version, members=tuple(_listed(root, one) for one in names)
    )
    try:
        with whole_file(bundle) as file, zipfile.ZipFile(file, "w") as archive:
            content = manifest.model_dump_json(indent=1).encode() + b"\n"
            with archive.open(_info(MANIFEST), "w") as out:
                out.write(content)
            for one in names:
                with (root / one).open("rb") as source, archive.open(_info(one), "w") as out:
                    shutil.copyfileobj(source, out, _CHUNK)
    except OSError as problem:
        raise RequestError(f"cannot write {bundle}: {problem.strerror}") from None
    return manifest


def unpack_bundle(bundle: Path, folder: Path) -> tuple[Manifest, list[Finding]]:
    """Read a bundle into a folder that then has the form of a store.

    Args:
        bundle: A zip of somebody else.
        folder: Ours, and empty.

    Returns:
        The manifest with those of its members that have the name of one, and what is wrong with
        members: those are not in the folder.

    Raises:
        RequestError: It is no bundle at all, or goes beyond the limits.
    """
    _check_directory(bundle)
    found: list[Finding] = []
    try:
        opened = members(bundle)
        manifest = _manifest(bundle, next(opened, None))
        listed = {one.name: one for one in manifest.members}
        seen: set[str] = set()
        for member in opened:
            reason = _refused(member.name, listed, seen)
            if reason is None:
                with reading(bundle):
                    target = folder / member.name
                    reason = _copy(member.stream, target, listed[member.name])
            if reason:
                found.append(error(_printable(member.name), reason))
            seen.add(member.name)
    except UnavailableError as problem:
        raise RequestError(str(problem)) from None
    alone = sorted(listed.keys() - seen)
    found += [error(_printable(name), "is in the manifest only") for name in alone]
    fit = tuple(one for one in manifest.members if _MEMBER.fullmatch(one.name))
    return manifest.model_copy(update={"members": fit}), found


def _printable(name: str) -> str:
    return shown(name)[1:-1]


def _listed(root: Path, name: str) -> Listed:
    with (root / name).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Listed(name=name, bytes=file.tell(), sha256=sha256)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr = 0o644 << 16
    # Parquet is compressed already.
    info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
    return info


def _check_directory(bundle: Path) -> None:
    """Look at the end of a zip before anything reads its directory, which could be endless.

    Raises:
        RequestError: It is no zip in the plain form that `pack` writes, or too large.
    """
    if bundle.suffix != ".zip":
        raise RequestError(f"{bundle}: a bundle's name ends in .zip")
    try:
        with plain_file(bundle, MAX_BUNDLE_BYTES) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END - _LOCATOR))
            tail = file.read(_END + _LOCATOR)
    except RecordError as problem:
        raise RequestError(f"{bundle}: {problem}") from None
    except OSError as problem:
        raise RequestError(f"cannot read {bundle}: {problem.strerror}") from None
    end = tail[-_END:]
    if len(end) < _END or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
        raise RequestError(f"{bundle}: is no whole bundle; sftbench leaderboard submit writes one")
    directory = int.from_bytes(end[12:16], "little")
    if tail.startswith(b"PK\6\7") or directory > _MOST_DIRECTORY_BYTES:
        raise RequestError(f"{bundle}: has more than {_MOST_MEMBERS:,} members")


def _manifest(bundle: Path, first: Member | None) -> Manifest:
    if first is None or first.name != MANIFEST:
        raise RequestError(f"{bundle}: is no bundle: its first member is not {MANIFEST}")
    content = first.stream.read(_MAX_MANIFEST_BYTES + 1)
    if len(content) > _MAX_MANIFEST_BYTES:
        raise RequestError(f"{bundle}: {MANIFEST} has more than {_MAX_MANIFEST_BYTES:,} bytes")
    try:
        document = json_object(content)
        _check_shape(document)
        manifest = Manifest.model_validate(document)
    except RecordError as problem:
        raise RequestError(f"{bundle}: {MANIFEST} {problem}") from None
    except ValidationError as problem:
        raise RequestError(f"{bundle}: {MANIFEST} {mistake(problem)}") from None
    total = sum(one.bytes for one in manifest.members)
    limit = min(_MAX_TOTAL_BYTES, max(_LEAST_LIMIT, bundle.stat().st_size * _MOST_GROWTH))
    if total > limit:
        raise RequestError(
            f"{bundle}: would unpack to {total:,} bytes in {len(manifest.members):,} files; for a "
            f"bundle of its size the most is {limit:,} in {_MOST_MEMBERS:,}"
        )
    return manifest


def _check_shape(document: dict[str, object]) -> None:
    """Look at what is counted before each value is: a million mistakes would take gigabytes.

    Raises:
        RecordError: It has other keys than a manifest, or members that are none.
    """
    if len(document) > len(Manifest.model_fields):
        raise RecordError("has keys that none has")
    listed = document.get("members")
    if not isinstance(listed, list) or len(listed) > _MOST_MEMBERS:
        raise RecordError(f"members: is no list of at most {_MOST_MEMBERS:,}")
    most = len(Listed.model_fields)
    if not all(isinstance(one, dict) and len(one) <= most for one in listed):
        raise RecordError("members: has one that is not a name, bytes and sha256")


def _refused(name: str, listed: dict[str, Listed], seen: set[str]) -> str | None:
    """Return why a member is not even read, or None."""
    if _MEMBER.fullmatch(name) is None:
        return "is not a name of a bundle: only cells/ID/attempt-N.json or .parquet, plans/ID.json"
    if name in seen:
        return "is there twice"
    return None if name in listed else "is not in the manifest"


def _copy(stream: Readable, target: Path, listed: Listed) -> str | None:
    """Write a member where it belongs; return why it is not what the manifest says, or None."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hasher, left = hashlib.sha256(), listed.bytes
    with target.open("xb") as out:
        while chunk := stream.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            hasher.update(chunk)
            out.write(chunk)
    reason = None
    if left:
        reason = f"does not have the {listed.bytes:,} bytes of the manifest"
    elif hasher.hexdigest() != listed.sha256:
        reason = "does not have the SHA-256 of the manifest"
    if reason:
        target.unlink()
    return reason
