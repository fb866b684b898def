"""The tutorial for plugin authors: its files are installed, its commands run, its tests pass."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from sftbench import hookspecs
from sftbench.api import PackagedWeights
from sftbench.catalog import KINDS, plural

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
# Trains for minutes; every other command of the page runs here.
LONG = "sftbench run --strategy bias-only --strategy head-only --dataset digits"


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


FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [Block(language, text) for language, text in FENCED.findall(PAGE)]


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


def install(folder: Path, site: Path) -> None:
    """Install the tutorial's metadata with pip; its module is found in `folder` as it changes."""
    pytest.importorskip("hatchling", reason="pip builds the package with hatchling; install it")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    done = run([*pip, *options, str(folder)], folder, site)
    assert done.returncode == 0, done.stderr
    (site / "sftbench_mine.py").unlink()


def check_console(text: str, folder: Path, site: Path) -> None:
    """Run each command; every line that the page shows must be among those it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        if command == LONG:
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


def test_every_step_of_the_tutorial_works(tmp_path: Path) -> None:
    folder, site = tmp_path / "mine", tmp_path / "site"
    folder.mkdir()
    num_consoles = num_tests = 0
    for block in BLOCKS:
        if block.file:
            (folder / block.file).write_text(block.text)
        if block.file == "test_mine.py":
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", block.file]
            done = run(command, folder, site)
            assert done.returncode == 0, done.stdout
            num_tests += 1
        if block.language == "console":
            if not site.exists():
                install(folder, site)
            check_console(block.text, folder, site)
            num_consoles += 1
    assert (num_consoles, num_tests) == (4, 1)


def test_the_long_command_is_on_the_page_and_can_be_planned(tmp_path: Path) -> None:
    assert f"$ {LONG}\n" in PAGE
    planned = LONG.replace("sftbench run", "sftbench plan").replace("bias-only", "full")
    done = run([sys.executable, "-m", *shlex.split(planned)], tmp_path, tmp_path)
    assert done.returncode == 0, done.stderr


HOOKS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("sftbench_")}


OF_WEIGHTS = "sftbench_weights"


def test_there_is_a_hook_for_each_kind_and_one_for_weights() -> None:
    assert set(HOOKS) == {f"sftbench_{plural(kind)}" for kind in KINDS} | {OF_WEIGHTS}


def test_the_table_has_every_field_of_packaged_weights() -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{OF_WEIGHTS}()` |")]
    assert [f.name for f in fields(PackagedWeights) if f"`{f.name}`" not in row] == []


@pytest.mark.parametrize("hook", sorted(HOOKS.keys() - {OF_WEIGHTS}))
def test_the_table_has_every_hook_with_its_arguments_and_methods(hook: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{hook}({arguments})` |")]
    assert len(rows) == 1, f"docs/plugins.md has no row of {hook}({arguments})"
    base = next(base for kind, base in KINDS.items() if f"sftbench_{plural(kind)}" == hook)
    assert f"`{base.__name__}`" in rows[0]
    for method in base.__abstractmethods__:  # type: ignore[attr-defined]
        names = list(inspect.signature(getattr(base, method)).parameters)[1:]
        assert f"`{method}({', '.join(names)})`" in rows[0], f"{method} of {hook}"


def test_no_other_hook_is_on_the_page() -> None:
    told = set(re.findall(r"`(sftbench_\w+)\(", PAGE))
    assert told == set(HOOKS)


def test_every_environment_variable_of_discovery_is_on_the_page() -> None:
    source = (REPOSITORY / "sftbench" / "discovery.py").read_text(encoding="utf-8")
    for variable in set(re.findall(r"SFTBENCH_[A-Z_]+", source)):
        assert f"`{variable}=" in PAGE, variable
