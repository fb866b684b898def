"""What a download shows: lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sftbench.cli import transfers
from sftbench.cli.transfers import transfer_progress

ROOT = Path(__file__).parent.parent.parent


def test_a_pipe_gets_a_line_at_the_start_at_the_end_and_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 1.0, 2.0, 7.5, 8.0))
    monkeypatch.setattr(transfers.time, "monotonic", lambda: next(clock))
    with transfer_progress() as progress:
        for done in (0, 1000, 2000, 3000, 4000):
            progress("a.tgz\x1b[2J", done, 4000)
    assert capsys.readouterr().err.splitlines() == [
        "a.tgz\\x1b[2J: 0 of 4,000 bytes",
        "a.tgz\\x1b[2J: 3,000 of 4,000 bytes",
        "a.tgz\\x1b[2J: 4,000 of 4,000 bytes",
    ]


def test_a_size_that_is_not_known_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with transfer_progress() as progress:
        progress("npm pack some", 0, None)
    assert capsys.readouterr().err == "npm pack some: 0 bytes\n"


def test_a_terminal_gets_a_bar() -> None:
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    code = "from sftbench.cli.transfers import transfer_progress as t\n"
    code += "with t() as p:\n    p('a.tgz', 0, 4000)\n    p('a.tgz', 4000, 4000)\n"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    assert process.wait(timeout=60) == 0
    assert b"a.tgz" in shown
    assert b"4.0/4.0 kB" in shown
