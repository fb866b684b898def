"""A page of the docs as a reader follows it: its files, its commands, what they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of the page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name in its first line, where it is a file."""
        found = re.match(r"# (\S+\.(?:py|toml))\n", self.text)
        return found[1] if found else None


def blocks_of(page: str) -> list[Block]:
    return [Block(language, text) for language, text in _FENCED.findall(page)]


def run(command: list[str], folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    parts = [str(site), str(folder), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, parts)),
        "PYTHONDONTWRITEBYTECODE": "1",  # files change within one second here
    }
    environment.pop("SFTBENCH_PLUGINS", None)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def run_tests(file: str, folder: Path, site: Path) -> None:
    """Run a file of tests that the page shows."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    done = run(command, folder, site)
    assert done.returncode == 0, done.stdout


def install(folder: Path, site: Path) -> None:
    """Install the page's metadata with pip; its modules are found in `folder` as they change."""
    pytest.importorskip("hatchling", reason="pip builds the package with hatchling; install it")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    done = run([*pip, *options, str(folder)], folder, site)
    assert done.returncode == 0, done.stderr
    for module in site.glob("*.py"):
        module.unlink()


def check_console(text: str, folder: Path, site: Path, without: Collection[str] = ()) -> None:
    """Run each command; every line that the page shows must be among those it prints.

    Args:
        text: Of the block.
        folder: Where the commands run.
        site: Where the metadata is installed.
        without: Commands that are not run.
    """
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        if command in without:
            continue
        words = shlex.split(command)
        assert words[0] == "sftbench"
        done = run([sys.executable, "-m", *words], folder, site)
        printed = done.stdout + done.stderr
        assert done.returncode == (2 if "error:" in part else 0), f"{command}\n{printed}"
        for line in shown:
            pattern = ".*".join(re.escape(piece) for piece in line.split("..."))
            assert re.search(f"^{pattern}$", printed, re.MULTILINE), (
                f"{command}\n{line!r} not in\n{printed}"
            )
