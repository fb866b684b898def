"""Start-up of the command line beside the import of click alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

_COMMANDS = {
    "import click": ["-c", "import click"],
    "--help": ["-m", "sftbench", "--help"],
    "list strategies": ["-m", "sftbench", "list", "strategies"],
}


@pytest.mark.parametrize("command", _COMMANDS)
def test_start_up(benchmark: Any, command: str) -> None:
    """One start."""
    words = [sys.executable, *_COMMANDS[command]]
    arguments = {"check": True, "stdout": subprocess.DEVNULL}
    benchmark.pedantic(subprocess.run, args=(words,), kwargs=arguments, rounds=10, warmup_rounds=1)
