"""Whether a host answers in time, so that nobody waits for one that does not."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.request
from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit


def endpoint_problem(url: str, timeout: float = 2.0) -> str | None:
    """Say why the host of `url` does not answer, or None; never raises.

    One HEAD request is sent, through the proxy of HTTPS_PROXY (for http addresses HTTP_PROXY) or
    ALL_PROXY unless NO_PROXY names the host. Any answer will do: a host that takes a connection
    and then keeps silent is of no use.

    Args:
        url: Address of the host; its path is not asked for.
        timeout: Seconds for everything together.
    """
    reasons: list[str | None] = []
    # In a thread of its own: no timeout ends a name lookup that hangs.
    asking = threading.Thread(target=lambda: reasons.append(_problem(url, timeout)), daemon=True)
    asking.start()
    asking.join(timeout)
    return reasons[0] if reasons else f"{_place(url)} does not answer within {timeout:g} s"


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or ''}:{_port(parts)}"
    except ValueError:  # a port that is no number
        return url


def _port(parts: SplitResult) -> int:
    return parts.port or (80 if parts.scheme == "http" else 443)


def _problem(url: str, timeout: float) -> str | None:
    through = ""
    try:
        parts = urlsplit(url)
        proxy = _proxy_for(parts)
        if proxy is not None:
            through = f" through the proxy {proxy.hostname}:{proxy.port}"
        _ask(parts, proxy, timeout)
    except TimeoutError:
        return f"{_place(url)} does not answer within {timeout:g} s{through}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        # ValueError: a name or a proxy's address that is none
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return f"{_place(url)} cannot be reached{through} ({why or type(error).__name__})"
    return None


def _ask(parts: SplitResult, proxy: SplitResult | None, timeout: float) -> None:
    """Send one request and wait for the first line of an answer."""
    if proxy is not None and proxy.scheme != "http":
        # Of a SOCKS or TLS proxy only that it listens is found out.
        default = 443 if proxy.scheme == "https" else 1080
        where = (proxy.hostname or "", proxy.port or default)
        socket.create_connection(where, timeout).close()
        return
    host, port = parts.hostname or "", _port(parts)
    target = (host, port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
    secure = parts.scheme != "http"
    connection = _secure(target, timeout) if secure else _plain(target, timeout)
    path, headers = "/", _credentials(proxy)
    if proxy is not None and secure:
        connection.set_tunnel(host, port, headers)
        headers = {}
    elif proxy is not None:
        path = f"http://{parts.netloc}/"
    try:
        connection.request("HEAD", path, headers=headers)
        answer = connection.getresponse()
    finally:
        connection.close()
    if proxy is not None and not secure and answer.status in {403, 407, 502, 503, 504}:
        raise http.client.HTTPException(f"{answer.status} {answer.reason}")


def _plain(target: tuple[str, int], timeout: float) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*target, timeout=timeout)


def _secure(target: tuple[str, int], timeout: float) -> http.client.HTTPConnection:
    # Nothing but a question is sent: the certificate is for whoever downloads to check, with the
    # authorities that he was told to trust.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(*target, timeout=timeout, context=context)


def _credentials(proxy: SplitResult | None) -> dict[str, str]:
    if proxy is None or proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _proxy_for(parts: SplitResult) -> SplitResult | None:
    proxies = urllib.request.getproxies()
    kind = "http" if parts.scheme == "http" else "https"
    address = proxies.get(kind) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")
