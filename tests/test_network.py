from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from sftbench.builtin.backbones.hub import url_problem
from sftbench.network import endpoint_problem

BOUND = 1.5  # seconds for what may take 0.3, on a busy machine


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(stack: ExitStack) -> socket.socket:
    return stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))


@pytest.fixture
def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return port_of(server)


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


Proxy = Callable[[bytes], tuple[int, list[bytes]]]


@pytest.fixture
def start_proxy(listener: socket.socket) -> Proxy:
    """Return a function that starts a proxy with one answer, and gives its port and requests."""

    def start(answer: bytes) -> tuple[int, list[bytes]]:
        requests: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(4096)
                requests.append(request)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return port_of(listener), requests

    return start


def test_a_host_that_answers_is_reachable(start_proxy: Proxy) -> None:
    port, requests = start_proxy(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert endpoint_problem(f"http://127.0.0.1:{port}/mirror") is None
    assert requests[0].startswith(b"HEAD / HTTP/1.1")


def test_a_closed_port_is_a_reason(closed_port: int) -> None:
    expected = f"127.0.0.1:{closed_port} cannot be reached (Connection refused)"
    assert endpoint_problem(f"https://127.0.0.1:{closed_port}") == expected


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_socket_that_never_answers_takes_no_longer_than_the_timeout(
    listener: socket.socket, scheme: str
) -> None:
    start = time.monotonic()
    reason = endpoint_problem(f"{scheme}://127.0.0.1:{port_of(listener)}", timeout=0.3)
    assert time.monotonic() - start < BOUND
    assert reason == f"127.0.0.1:{port_of(listener)} does not answer within 0.3 s"


def test_a_name_lookup_that_hangs_takes_no_longer_than_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    def hang(*args: object, **kwargs: object) -> object:
        released.wait(10)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    reason = endpoint_problem("https://hub.invalid", timeout=0.3)
    assert time.monotonic() - start < BOUND
    assert reason == "hub.invalid:443 does not answer within 0.3 s"
    released.set()


@pytest.mark.parametrize("host", ["nothing.invalid", "a" * 70, "a..b", ""])
def test_a_name_that_is_no_host_is_a_reason(host: str) -> None:
    start = time.monotonic()
    reason = endpoint_problem(f"https://{host}:9", timeout=1.0)
    assert time.monotonic() - start < 1.0 + BOUND
    assert reason is not None
    assert reason.startswith(f"{host}:9 ")


def test_a_proxy_that_answers_makes_reachable(
    start_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, requests = start_proxy(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    assert endpoint_problem("http://hub.invalid") is None  # only the proxy could resolve it
    assert requests[0].startswith(b"HEAD http://hub.invalid/ ")
    assert b"Proxy-Authorization" not in requests[0]


def test_a_tunnel_is_asked_for_where_the_host_is_secure(
    start_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, requests = start_proxy(b"HTTP/1.1 200 Connection established\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    reason = endpoint_problem("https://hub.invalid")
    assert requests[0].startswith(b"CONNECT hub.invalid:443 ")
    assert reason is not None  # behind this tunnel nobody speaks TLS


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
def test_a_proxy_that_refuses_an_address_is_a_reason(
    start_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    port, _ = start_proxy(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    assert endpoint_problem("http://hub.invalid") == (
        f"hub.invalid:80 cannot be reached through the proxy 127.0.0.1:{port} ({status})"
    )


def test_a_proxy_that_refuses_is_a_reason(
    start_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _ = start_proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    assert endpoint_problem("https://hub.invalid") == (
        f"hub.invalid:443 cannot be reached through the proxy 127.0.0.1:{port} "
        "(Tunnel connection failed: 403 Forbidden)"
    )


def test_the_password_goes_to_the_proxy_and_nowhere_else(
    start_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, requests = start_proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    monkeypatch.setenv("https_proxy", f"http://me:p%40ss@127.0.0.1:{port}")
    reason = endpoint_problem("https://hub.invalid")
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in requests[0]  # me:p@ss
    assert reason is not None
    assert "407" in reason
    assert "ss@" not in reason


def test_a_proxy_that_talks_nonsense_is_a_reason(
    start_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _ = start_proxy(b"SSH-2.0-OpenSSH_9.6\r\n")
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")  # without scheme
    reason = endpoint_problem("https://hub.invalid")
    assert reason is not None
    assert reason.startswith(
        f"hub.invalid:443 cannot be reached through the proxy 127.0.0.1:{port} ("
    )


def test_a_proxy_that_never_answers_takes_no_longer_than_the_timeout(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port_of(listener)}")
    start = time.monotonic()
    reason = endpoint_problem("https://hub.invalid", timeout=0.3)
    assert time.monotonic() - start < BOUND
    assert reason is not None
    assert reason.startswith("hub.invalid:443 does not answer within 0.3 s")


def test_a_proxy_that_is_down_is_a_reason(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{closed_port}")
    assert endpoint_problem("https://hub.invalid") == (
        f"hub.invalid:443 cannot be reached through the proxy 127.0.0.1:{closed_port} "
        "(Connection refused)"
    )


@pytest.mark.parametrize("address", ["http://[", "http://127.0.0.1:port"])
def test_an_address_that_is_no_proxy_is_a_reason(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", address)
    reason = endpoint_problem("https://hub.invalid")
    assert reason is not None
    assert reason.startswith("hub.invalid:443 cannot be reached")


def test_a_socks_proxy_only_has_to_listen(
    listener: socket.socket, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", f"socks5://127.0.0.1:{port_of(listener)}")
    assert endpoint_problem("https://hub.invalid") is None
    monkeypatch.setenv("all_proxy", f"socks5://127.0.0.1:{closed_port}")
    assert endpoint_problem("https://hub.invalid") is not None


def test_no_proxy_names_hosts_that_are_asked_directly(
    start_proxy: Proxy, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _ = start_proxy(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert endpoint_problem(f"http://127.0.0.1:{port}") is None


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_an_endpoint_without_port_has_that_of_its_scheme(scheme: str, port: int) -> None:
    reason = endpoint_problem(f"{scheme}://{'a' * 70}/models")
    assert reason is not None
    assert f":{port} cannot be reached" in reason


def test_a_file_in_torchs_cache_needs_no_host(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = f"http://127.0.0.1:{closed_port}/models/net-0123abcd.pth?download=1"
    expected = f"127.0.0.1:{closed_port} cannot be reached (Connection refused)"
    assert url_problem(url) == expected
    file = tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert url_problem(url) is None
