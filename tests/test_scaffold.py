"""A written package is built by pip, installed, checked by the command line, and tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sftbench import __version__
from sftbench.errors import RequestError
from sftbench.scaffold import write_package

REPOSITORY = Path(__file__).parent.parent
PIP = (
    *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
    *("--no-index", "--no-deps", "--no-build-isolation"),
)


def run(
    *command: str | Path, cwd: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with `path` before the other places of imports."""
    parts = [str(path) if path else "", os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, parts))}
    environment.pop("SFTBENCH_PLUGINS", None)
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def install(package: Path, into: Path) -> None:
    pytest.importorskip("hatchling", reason="pip builds the package with hatchling; install it")
    done = run(*PIP, "--target", into, package, cwd=into.parent)
    assert done.returncode == 0, done.stderr


def test_a_new_package_installs_and_passes_its_checks(tmp_path: Path) -> None:
    site = tmp_path / "site"
    made = run(sys.executable, "-m", "sftbench", "plugins", "new", "sftbench-Mine_2", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[0] == "wrote sftbench-Mine_2"
    folder = tmp_path / "sftbench-Mine_2"
    install(folder, site)

    checked = run(
        *(sys.executable, "-m", "sftbench", "plugins", "check", "sftbench-Mine_2"),
        cwd=tmp_path,
        path=site,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = checked.stdout.splitlines()
    assert lines[0] == "plugin sftbench-Mine_2: import brings no torch: ok"
    assert "strategy mine_2-bias-only: a tiny cell ends well: ok" in lines
    assert lines[-1].endswith(" checks, 0 broken")

    # Its own tests, away from this repository's settings, on the installed module.
    tested = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"), cwd=folder, path=site
    )
    assert tested.returncode == 0, tested.stdout
    assert re.fullmatch(r"\d\d passed in .*", tested.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_example_package_installs_and_passes_its_tests(tmp_path: Path) -> None:
    site = tmp_path / "site"
    folder = REPOSITORY / "plugins" / "sftbench-example"
    install(folder, site)
    checked = run(
        *(sys.executable, "-m", "sftbench", "plugins", "check", "sftbench-example"),
        cwd=tmp_path,
        path=site,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for component in ("backbone two-conv", "dataset stripes", "strategy top-blocks"):
        assert f"{component}: class is sound: ok" in checked.stdout
    # Its test of the installed package is skipped where the package is not; here it must not be.
    tested = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"),
        *("-c", str(folder / "pyproject.toml"), "--rootdir", str(folder)),
        cwd=folder,
        path=site,
    )
    assert tested.returncode == 0, tested.stdout
    assert "skipped" not in tested.stdout


def test_what_is_written(tmp_path: Path) -> None:
    folder = write_package("sftbench-mine", tmp_path)
    assert folder == tmp_path / "sftbench-mine"
    written = {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}
    assert set(written) == {
        ".github/workflows/ci.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "sftbench_mine/__init__.py",
        "tests/test_sftbench_mine.py",
    }
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert project["name"] == "sftbench-mine"
    assert project["entry-points"] == {"sftbench": {"sftbench-mine": "sftbench_mine"}}
    assert project["dependencies"] == [f"sftbench>={__version__}"]
    # The only dollar left is that of the workflow's own expression.
    assert "python-version: ${{ matrix.python }}" in written[".github/workflows/ci.yml"]
    assert sum(text.count("$") for text in written.values()) == 1


def test_what_is_written_is_linted_and_formatted(tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="ruff is not installed; it comes with the extra `dev`")
    folder = write_package("sftbench-mine", tmp_path)
    ruff = (sys.executable, "-m", "ruff")
    settings = ("--isolated", "--no-cache", "--line-length", "100")
    rules = ("--select", "ANN,B,D,E,F,I,N,RUF,SIM,UP", "--ignore", "D103,D203,D213")
    for command in ((*ruff, "check", *settings, *rules), (*ruff, "format", "--check", *settings)):
        done = run(*command, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "a b", "-x", "x-", "a--b", "é", "x" * 61])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        write_package(name, tmp_path)
    assert str(caught.value) == (
        f"plugin name {name!r}: use letters, digits and single - or _ between them, at most 60 "
        "characters, such as sftbench-mine"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module"), [("json", "json"), ("class", "class"), ("3d", "3d"), ("Torch", "torch")]
)
def test_a_name_of_another_module_is_refused(name: str, module: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        write_package(name, tmp_path)
    assert str(caught.value) == (
        f"plugin name {name!r}: its module would be {module!r}, which is no name for one, or is "
        f"taken; try 'sftbench-{name}'"
    )


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RequestError) as caught:
        write_package("mine", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'mine'} exists; choose another name, or another --into"
    )
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        write_package("mine", tmp_path / "no")
    assert str(caught.value) == f"{tmp_path / 'no' / 'mine'}: No such file or directory"
