"""A machine without the hub: an answer within seconds, with commands that work there."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

COMMAND = ("run", "--backbone", "resnet50", "--strategy", "head-only")
# Alone it takes 4 to 6 s; other tests run beside it. A client that tries again takes a minute.
MOST_SECONDS = 20.0


def sftbench(
    folder: Path, environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("HF_")
    }
    homes = {name: str(folder / name) for name in ("HF_HOME", "TORCH_HOME", "SFTBENCH_CACHE")}
    return subprocess.run(
        [sys.executable, "-m", "sftbench", *arguments],
        cwd=folder,
        env={**kept, **homes, "SFTBENCH_PLUGINS": "", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Serve one answer to whoever asks; an empty one is never given."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server, ExitStack() as kept:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.enter_context(connection)  # held open: who waits, waits
                if answer:
                    connection.recv(4096)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@contextmanager
def no_network() -> Iterator[tuple[dict[str, str], str]]:
    # Loopback alone: no address of this name, and nobody listens at that port.
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    yield {"HF_ENDPOINT": f"http://127.0.0.1:{port}"}, "cannot be reached (Connection refused)"


@contextmanager
def refusing_proxy() -> Iterator[tuple[dict[str, str], str]]:
    with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        yield (
            {"HTTPS_PROXY": f"http://127.0.0.1:{port}"},
            (
                f"huggingface.co:443 cannot be reached through the proxy 127.0.0.1:{port} "
                "(Tunnel connection failed: 403 Forbidden)"
            ),
        )


@contextmanager
def blackhole() -> Iterator[tuple[dict[str, str], str]]:
    with answering(b"") as port:
        yield (
            {"HF_ENDPOINT": f"http://127.0.0.1:{port}"},
            f"127.0.0.1:{port} does not answer within 2 s",
        )


@pytest.mark.parametrize(
    "situation", [no_network, pytest.param(refusing_proxy, marks=pytest.mark.slow), blackhole]
)
def test_the_answer_comes_within_seconds_with_commands_that_work(
    tmp_path: Path, situation: object
) -> None:
    with situation() as (environment, reason):  # type: ignore[operator]
        # What a loaded machine takes for the imports alone does not count.
        start = time.monotonic()
        sftbench(tmp_path, environment, *COMMAND, "--seeds", "x-y")
        allowed = max(MOST_SECONDS, time.monotonic() - start + 5.0)
        start = time.monotonic()
        done = sftbench(tmp_path, environment, *COMMAND)
        seconds = time.monotonic() - start

    assert done.returncode == 3
    assert seconds < allowed
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: weights of resnet50: ")
    assert first.endswith(reason)
    assert rest == [
        "these would work here:",
        "  sftbench run --backbone resnet50 --strategy head-only --weights pretrain:digits",
        "  sftbench run --strategy head-only --backbone tf_efficientnet_lite0",
        "  sftbench run --backbone resnet50 --strategy head-only --weights none",
        "with a file of its weights: sftbench weights import resnet50 FILE",
    ]
    assert not (tmp_path / "sftbench-results").exists()


def test_the_proposed_commands_do_work(tmp_path: Path) -> None:
    # Small: another network of the same library, few images, one seed.
    small = ("--seeds=1", "--limit-train=40", "--limit-test=20", "--epochs=1", "--image-size=32")
    asked = ("run", "-b", "test_resnet", "--strategy=head-only", *small, "-d", "digits")
    with no_network() as (environment, _):
        refused = sftbench(tmp_path, environment, *asked)
        proposed = [
            shlex.split(line.strip())[1:]
            for line in refused.stderr.splitlines()
            if line.startswith("  sftbench ")
        ]
        # The target is not proposed as a source; what is, takes its time and has its own test.
        assert [words[-2:] for words in proposed] == [
            ["--weights", "pretrain:fashion-mnist-mini"],
            ["--backbone", "tf_efficientnet_lite0"],
            ["--weights", "none"],
        ]
        for words in proposed[2:]:
            done = sftbench(tmp_path, environment, *words)
            assert done.returncode == 0, done.stderr
