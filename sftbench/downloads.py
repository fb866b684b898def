"""One file from a server: gone on with where it broke off, checked, and there whole or not at all.

Nothing is written under the file's own name before its size and checksum fit.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import Final

from sftbench.errors import UnavailableError
from sftbench.files import make_folder
from sftbench.names import one_line

Progress = Callable[[str, int, int | None], None]

_CHUNK: Final = 1 << 18
_ATTEMPTS: Final = 4  # without a new byte; as long as bytes come, it goes on
_SPARE_BYTES: Final = 256 << 20  # of the disk, for whoever else writes there
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)


def download(
    url: str, file: Path, *, md5: str | None, progress: Progress, timeout: float = 10.0
) -> None:
    """Bring `url` to `file`; what an earlier, broken-off call left is gone on with.

    Args:
        url: Of http or https; proxies of the environment are used.
        file: Where it will stand. Until it is whole and checked, its bytes are in `FILE.part`.
        md5: As its publisher states it; None: only the size is checked.
        progress: Is told the file's name, the bytes done, and the bytes in all.
        timeout: Seconds without an answer or a byte after which an attempt is given up.

    Raises:
        UnavailableError: It cannot be had, or is not what it should be. The part stays, unless
            its checksum is wrong.
    """
    if not url.startswith(("https://", "http://")):
        raise UnavailableError(f"{url}: only http and https can be fetched")
    make_folder(file.parent)
    part = file.with_name(f"{file.name}.part")
    barren = 0
    while True:
        before = _size(part)
        try:
            _append(url, part, lambda done, total: progress(file.name, done, total), timeout)
            break
        except _BrokenOffError as error:
            barren = 0 if _size(part) > before else barren + 1
            if barren == _ATTEMPTS or error.final:
                raise UnavailableError(
                    f"{url}: {error}; {_size(part):,} bytes are kept, the same command goes on"
                ) from None
    found = md5_of(part)
    if md5 is not None and found != md5:
        part.unlink()
        raise UnavailableError(
            f"{url}: its md5 is {found}, not {md5}; nothing is kept of it. Try again, or import a "
            "copy from elsewhere"
        )
    part.rename(file)


def md5_of(file: Path) -> str:
    """Return the md5 of a file in hexadecimal digits.

    Publishers state it. It tells a damaged file, not one that somebody made up on purpose.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


class _BrokenOffError(Exception):
    """An attempt ended early.

    Args:
        why: For people.
        final: Whether another attempt would end in the same way.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _append(
    url: str, part: Path, progress: Callable[[int, int | None], None], timeout: float
) -> None:
    """Ask for what `part` lacks and append it.

    Raises:
        _BrokenOffError: The server refused, fell silent or hung up.
        UnavailableError: The disk is too small.
    """
    start = _size(part)
    headers = {"User-Agent": "sftbench", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - `download` checked it
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            start, total = _extent(response.status, response.headers, start)
            _check_disk(part, start, total)
            _copy(response, part, start, total, progress)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # the part is as long as the file, or longer
                _settle_full(part, error.headers.get("Content-Range", ""))
                return
            temporary = error.code in {408, 429} or error.code >= 500
            raise _BrokenOffError(
                f"the server answers {error.code} {one_line(str(error.reason), 80)}",
                final=not temporary,
            ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(_reason(error, timeout)) from None


def _extent(status: int, headers: HTTPMessage, start: int) -> tuple[int, int | None]:
    """Return where the answer begins in the file, and the size of the whole file, if it is told.

    Raises:
        _BrokenOffError: It begins elsewhere than was asked.
    """
    if status != 206:  # the server knows no ranges: from the beginning
        length = headers.get("Content-Length", "")
        return 0, int(length) if length.isascii() and length.isdecimal() else None
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start:
        raise _BrokenOffError("the server sends another part than it was asked for", final=True)
    return start, None if match[2] == "*" else int(match[2])


def _settle_full(part: Path, content_range: str) -> None:
    """Take a part of exactly the file's size as whole; another one begins anew.

    Raises:
        _BrokenOffError: It is not whole.
    """
    if content_range != f"bytes */{_size(part)}":
        part.unlink(missing_ok=True)
        raise _BrokenOffError("the part that is here does not belong to the server's file")


def _check_disk(part: Path, start: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free - _SPARE_BYTES
    if total is not None and total - start > free:
        raise UnavailableError(
            f"{part.parent}: {max(0, free):,} bytes free on the disk, {total - start:,} are "
            "needed; make room, or name another disk in SFTBENCH_CACHE"
        )


def _copy(
    response: HTTPResponse,
    part: Path,
    start: int,
    total: int | None,
    progress: Callable[[int, int | None], None],
) -> None:
    """Write the answer behind `start`.

    Raises:
        _BrokenOffError: It ends before the file does.
    """
    done = start
    with part.open("r+b" if start else "wb") as stream:
        stream.seek(start)
        progress(done, total)
        # read1 gives what has come, so that a silent server loses nothing of it.
        while chunk := response.read1(_CHUNK):
            stream.write(chunk)
            done += len(chunk)
            if total is not None and done > total:
                raise _BrokenOffError("the server sends more than it announced", final=True)
            progress(done, total)
    if total is not None and done < total:
        raise _BrokenOffError(f"the connection ended after {done:,} of {total:,} bytes")


def _reason(error: Exception, timeout: float) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(inner, OSError) and inner.strerror:
        return one_line(inner.strerror)
    return one_line(f"{type(error).__name__}: {inner}")
