"""Start-up of the command line: `sftbench --help` beside `python -c "import click"`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers.ratios import Total
from benchmarks.peers.team import ROOT

HELP, CLICK = "sftbench --help", "import click"


def start_ups(count: int) -> list[dict[str, Total]]:
    """Return rounds of one start each, in turn, after one of each that is not counted."""
    script = Path(sys.executable).parent / "sftbench"
    own = [str(script)] if script.exists() else [sys.executable, "-m", "sftbench"]
    commands = {HELP: [*own, "--help"], CLICK: [sys.executable, "-c", CLICK]}
    rounds = [
        {label: Total(_seconds(words), 1) for label, words in commands.items()}
        for _ in range(count + 1)
    ]
    return rounds[1:]


def _seconds(command: list[str]) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start
