"""Downloads from a real server in this process: cut off, gone on with, wrong, silent."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sftbench import downloads
from sftbench.downloads import download, md5_of
from sftbench.errors import UnavailableError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()
Serve = Callable[..., tuple[str, list[str | None]]]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server, and gives its URL and the ranges it is asked for.

    `cuts` bytes are sent of each of the first answers, then the connection ends.
    """
    servers: list[ThreadingHTTPServer] = []

    def start(
        content: bytes = CONTENT,
        cuts: tuple[int, ...] = (),
        ranges: bool = True,
        status: int | None = None,
        shift: int = 0,
    ) -> tuple[str, list[str | None]]:
        asked: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Range")
                asked.append(given)
                if status is not None:
                    self.send_error(status)
                    return
                begin = int(re.fullmatch(r"bytes=(\d+)-", given)[1]) if given and ranges else 0
                if begin >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = content[begin:]
                self.send_response(206 if given and ranges else 200)
                self.send_header("Content-Length", str(len(body)))
                if given and ranges:
                    last = len(content) - 1
                    self.send_header(
                        "Content-Range", f"bytes {begin + shift}-{last}/{len(content)}"
                    )
                self.end_headers()
                number = len(asked) - 1
                self.wfile.write(body[: cuts[number]] if number < len(cuts) else body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}/data.bin", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def get(url: str, file: Path, md5: str | None = MD5, timeout: float = 10.0) -> list[tuple]:
    told: list[tuple] = []
    download(url, file, md5=md5, progress=lambda *one: told.append(one), timeout=timeout)
    return told


def test_a_whole_file_stands_under_its_name(serve: Serve, tmp_path: Path) -> None:
    url, asked = serve()
    told = get(url, tmp_path / "deep" / "data.bin")
    assert (tmp_path / "deep" / "data.bin").read_bytes() == CONTENT
    assert asked == [None]
    assert told[0] == ("data.bin", 0, len(CONTENT))
    assert told[-1] == ("data.bin", len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["data.bin"]


def test_what_is_cut_off_goes_on_where_it_ended(serve: Serve, tmp_path: Path) -> None:
    url, asked = serve(cuts=(300_000, 5))
    get(url, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert asked == [None, "bytes=300000-", "bytes=300005-"]


def test_a_later_call_goes_on_too(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    url, asked = serve()
    get(url, tmp_path / "data.bin")
    assert asked == ["bytes=1000-"]
    assert md5_of(tmp_path / "data.bin") == MD5


def test_a_part_that_is_whole_already_is_taken(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    url, _ = serve()
    get(url, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_part_that_is_too_long_begins_anew(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    url, asked = serve()
    get(url, tmp_path / "data.bin")
    assert asked == [f"bytes={len(CONTENT) + 4}-", None]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    url, _ = serve(ranges=False)
    get(url, tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_another_part_than_was_asked_for_is_refused(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    url, asked = serve(shift=1)
    with pytest.raises(UnavailableError, match="another part than it was asked for"):
        get(url, tmp_path / "data.bin")
    assert len(asked) == 1
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]


def test_a_wrong_checksum_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    url, _ = serve()
    with pytest.raises(UnavailableError) as caught:
        get(url, tmp_path / "data.bin", md5="0" * 32)
    assert str(caught.value) == (
        f"{url}: its md5 is {MD5}, not {'0' * 32}; nothing is kept of it. Try again, or import a "
        "copy from elsewhere"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_told_and_not_repeated(serve: Serve, tmp_path: Path) -> None:
    url, asked = serve(status=404)
    with pytest.raises(UnavailableError, match="the server answers 404 Not Found; 0 bytes"):
        get(url, tmp_path / "data.bin")
    assert len(asked) == 1


def test_a_server_in_trouble_is_asked_again_but_not_for_ever(serve: Serve, tmp_path: Path) -> None:
    url, asked = serve(status=503)
    with pytest.raises(UnavailableError, match="the server answers 503"):
        get(url, tmp_path / "data.bin")
    assert len(asked) == 4


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/data.bin"
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no answer within 0\.1 s; 0 bytes are kept"):
            get(url, tmp_path / "data.bin", timeout=0.1)
    assert time.monotonic() - begin < 3


def test_a_full_disk_is_told_before_anything_is_written(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_SPARE_BYTES", 1 << 60)
    url, _ = serve()
    with pytest.raises(UnavailableError, match="0 bytes free on the disk, 1,024,000 are needed"):
        get(url, tmp_path / "data.bin")
    assert list(tmp_path.iterdir()) == []


def test_other_addresses_than_http_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="only http and https"):
        get("file:///etc/hostname", tmp_path / "data.bin")
