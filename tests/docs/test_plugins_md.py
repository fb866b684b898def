"""The tutorial for plugin authors: its files are installed, its commands run, its tests pass."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from support.tutorial import blocks_of, check_console, install, run, run_tests

from sftbench import hookspecs
from sftbench.api import PackagedWeights
from sftbench.catalog import KINDS, plural

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
# Trains for minutes; every other command of the page runs here.
LONG = "sftbench run --strategy biases --strategy head-only --dataset digits"


BLOCKS = blocks_of(PAGE)


def test_every_step_of_the_tutorial_works(tmp_path: Path) -> None:
    folder, site = tmp_path / "mine", tmp_path / "site"
    folder.mkdir()
    num_consoles = num_tests = 0
    for block in BLOCKS:
        if block.file:
            (folder / block.file).write_text(block.text)
        if block.file == "test_mine.py":
            run_tests(block.file, folder, site)
            num_tests += 1
        if block.language == "console":
            if not site.exists():
                install(folder, site)
            check_console(block.text, folder, site, without={LONG})
            num_consoles += 1
    assert (num_consoles, num_tests) == (4, 1)


def test_the_long_command_is_on_the_page_and_can_be_planned(tmp_path: Path) -> None:
    assert f"$ {LONG}\n" in PAGE
    planned = LONG.replace("sftbench run", "sftbench plan").replace("biases", "full")
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
