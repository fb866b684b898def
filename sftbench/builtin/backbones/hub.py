"""Whether weights of a hub can be had here: in the cache, or from a host that answers in time."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

_ELSEWHERE = (
    "use --backbone tf_efficientnet_lite0 (its weights come with sftbench) or --weights none"
)


def refusal(name: str, reason: str) -> str:
    """Return the line for weights that cannot be had: why, and what would work here."""
    return f"weights of {name}: {reason}; {_ELSEWHERE}"


def one_line(error: Exception) -> str:
    """Return type and message of a library's exception, without line breaks and not too long."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:200]


def url_problem(url: str) -> str | None:
    """Say why torch cannot load the checkpoint of `url`, or None: it has it or can reach it."""
    if checkpoint_file(url).is_file():
        return None
    return endpoint_problem(url)


def checkpoint_file(url: str) -> Path:
    """Return where torch keeps the file of `url` once it was downloaded."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)


def endpoint_problem(url: str) -> str | None:
    """Say why the host of `url` cannot be reached, or None."""
    parts = urlsplit(url)
    return reachable(parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))


def reachable(host: str, port: int = 443, timeout: float = 2.0) -> str | None:
    """Say why `host` cannot be reached, or None; never raises.

    A connection is opened and closed, through the proxy of HTTPS_PROXY or ALL_PROXY unless NO_PROXY
    names the host. No request is sent.

    Args:
        host: Name or address.
        port: TCP port.
        timeout: Seconds for everything together.
    """
    reasons: list[str | None] = []
    # In a thread of its own: no timeout ends a name lookup that hangs.
    asking = threading.Thread(
        target=lambda: reasons.append(_connection_problem(host, port, timeout)), daemon=True
    )
    asking.start()
    asking.join(timeout)
    return reasons[0] if reasons else f"{host}:{port} does not answer within {timeout:g} s"


def _connection_problem(host: str, port: int, timeout: float) -> str | None:
    through = ""
    try:
        proxy = _proxy_for(host)
        if proxy is None:
            socket.create_connection((host, port), timeout).close()
        else:
            through = f" through the proxy {proxy.hostname}:{proxy.port}"
            _connect_through(proxy, host, port, timeout)
    except TimeoutError:
        return f"{host}:{port} does not answer within {timeout:g} s{through}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        # ValueError: a name or a proxy's address that is none
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return f"{host}:{port} cannot be reached{through} ({why or type(error).__name__})"
    return None


def _proxy_for(host: str) -> SplitResult | None:
    proxies = urllib.request.getproxies()
    address = proxies.get("https") or proxies.get("all")
    if not address or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


def _connect_through(proxy: SplitResult, host: str, port: int, timeout: float) -> None:
    if proxy.scheme != "http":  # of a SOCKS or TLS proxy only that it listens is found out
        default = 443 if proxy.scheme == "https" else 1080
        where = (proxy.hostname or "", proxy.port or default)
        socket.create_connection(where, timeout).close()
        return
    headers = {}
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port or 80, timeout=timeout)
    try:
        connection.set_tunnel(host, port, headers)
        connection.connect()
    finally:
        connection.close()
