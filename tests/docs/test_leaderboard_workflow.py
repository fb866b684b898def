"""The workflow for a repository of results: harmless by its form, and its script does its work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.submissions import cells, fill, forged

from sftbench.discovery import build_catalog
from sftbench.leaderboard.submitting import submit
from sftbench.store import Store

FILE = Path(__file__).parents[2] / "docs" / "leaderboard-workflow.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
STEPS = WORKFLOW["jobs"]["validate"]["steps"]
# YAML 1.1 reads the key `on` as true.
TRIGGERS = WORKFLOW[True]


def test_it_may_only_read() -> None:
    assert list(TRIGGERS) == ["pull_request"]
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in WORKFLOW["jobs"]["validate"]
    (checkout,) = [step for step in STEPS if "checkout" in step.get("uses", "")]
    assert checkout["with"] == {"fetch-depth": 2, "path": "merged", "persist-credentials": False}


def test_actions_are_pinned_and_no_text_of_a_stranger_is_in_a_script() -> None:
    assert all(
        re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in STEPS if "uses" in step
    )
    assert "${{" not in FILE.read_text(encoding="utf-8")
    assert [step["name"] for step in STEPS if "run" in step] == [
        "Only new bundles",
        "Install",
        "Validate new bundles",
    ]
    assert script("Install") == "pip install sftbench"


def test_new_data_and_protocols_are_not_taken_unless_the_host_says_so() -> None:
    assert "--accept-new" not in script("Validate new bundles")


def script(name: str) -> str:
    (found,) = [step["run"] for step in STEPS if step.get("name") == name]
    return str(found)


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    command = ["git", "-C", str(folder), *who, "-c", "core.autocrlf=false", *words]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of a seed that the host has not."""
    folder = tmp_path_factory.mktemp("mine")
    store = fill(Store(folder / "mine"), [cell for cell in cells(seeds=2) if cell.seed == 1])
    submit(store.path, folder / "mine.zip", build_catalog(chosen=""))
    return folder / "mine.zip"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository of a host: results of one seed, and an old bundle."""
    repository = tmp_path_factory.mktemp("host") / "repository"
    fill(Store(repository / "results"), cells(seeds=1))
    (repository / "submissions").mkdir()
    (repository / "submissions" / "old.zip").write_bytes(b"an old bundle")
    git(repository, "init", "--initial-branch=main")
    git(repository, "add", "--all")
    git(repository, "commit", "--message=host")
    return repository


@pytest.fixture
def merged(target: Path, tmp_path: Path) -> Path:
    """Return a copy of the host's repository, where a test does what a pull request does."""
    shutil.copytree(target, tmp_path / "merged")
    git(tmp_path / "merged", "checkout", "-b", "theirs")
    command = tmp_path / "bin" / "sftbench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sftbench "$@"\n')
    command.chmod(0o755)
    return tmp_path / "merged"


def merge(merged: Path) -> None:
    """Make HEAD what GitHub checks out: the target branch, which went on, and theirs."""
    git(merged, "add", "--all")
    git(merged, "commit", "--message=theirs")
    git(merged, "checkout", "main")
    (merged / "results" / "note.txt").write_text("the host went on")
    git(merged, "add", "--all")
    git(merged, "commit", "--message=later")
    git(merged, "merge", "--no-ff", "theirs")


def ran(name: str, merged: Path) -> subprocess.CompletedProcess[str]:
    folder = merged.parent
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script(name)],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SFTBENCH_PLUGINS": "",
        },
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_new_bundle_passes_and_is_validated(merged: Path, bundle: Path) -> None:
    shutil.copy(bundle, merged / "submissions" / "mine-1.zip")
    merge(merged)
    done = ran("Only new bundles", merged)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = ran("Validate new bundles", merged)
    assert (done.returncode, done.stderr) == (0, "")
    first, name, counted, *_, verdict, last = done.stdout.splitlines()
    assert (name, counted) == ("submissions/mine-1.zip", "2 records, 1 plans")
    assert verdict == "valid"
    assert first == f"::stop-commands::{last.strip(':')}"
    assert len(last) == 40


def test_one_bad_bundle_of_several_fails(merged: Path, bundle: Path) -> None:
    bad = Path(shutil.copy(bundle, merged / "submissions" / "bad.zip"))
    forged(bad, lambda document: document["metrics"]["selected"]["test"].update(accuracy=1.0))
    shutil.copy(bundle, merged / "submissions" / "good.zip")
    merge(merged)
    assert ran("Only new bundles", merged).returncode == 0
    done = ran("Validate new bundles", merged)
    assert done.returncode == 1
    assert "refused: 1 mistakes" in done.stdout
    assert re.search(
        r"^submissions/good\.zip\n2 records, 1 plans\n(warning.*\n)*valid$",
        done.stdout,
        re.MULTILINE,
    )


def test_data_that_the_host_does_not_know_fails(merged: Path, tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "other"), cells(seeds=1, dataset="other"))
    submit(store.path, merged / "submissions" / "other.zip", build_catalog(chosen=""))
    merge(merged)
    assert ran("Only new bundles", merged).returncode == 0
    done = ran("Validate new bundles", merged)
    assert (done.returncode, "--accept-new" in done.stdout) == (1, True)


def put(name: str) -> Callable[[Path], object]:
    def change(merged: Path) -> None:
        (merged / name).parent.mkdir(parents=True, exist_ok=True)
        (merged / name).write_bytes(b"new")

    return change


def link(merged: Path) -> None:
    (merged / "submissions" / "l.zip").symlink_to("../results")


def program(merged: Path) -> None:
    put("submissions/x.zip")(merged)
    (merged / "submissions" / "x.zip").chmod(0o755)


def linked_folder(merged: Path) -> None:
    (merged / "submissions").rename(merged / "elsewhere")
    (merged / "submissions").symlink_to("elsewhere")


def moved(merged: Path) -> None:
    (merged / "submissions" / "old.zip").rename(merged / "submissions" / "new.zip")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("setup.py"), "A_setup.py"),
        (put(".github/workflows/validate.yml"), "A_.github/workflows/validate.yml"),
        (put("results/submissions/x/evil.json"), "A_results/submissions/x/evil.json"),
        (put("results/submissions/x.zip"), "A_results/submissions/x.zip"),
        (put("submissions/submissions/x.zip"), "A_submissions/submissions/x.zip"),
        (put("submissions/x.json"), "A_submissions/x.json"),
        (put("submissions/-x.zip"), "A_submissions/-x.zip"),
        (put("submissions/.x.zip"), "A_submissions/.x.zip"),
        (put("submissions/a b.zip"), "A_submissions/a b.zip"),
        (put("submissions/$(touch evil).zip"), "A_submissions/__touch evil_.zip"),
        (put("submissions/##[error]x.zip"), "A_submissions/___error_x.zip"),
        (put("submissions/a\n::error::b.zip"), "A__submissions/a_n__error__b.zip_"),
        (put("submissions/x.zip\tsubmissions/y.zip"), "A__submissions/x.zip_tsubmissions/y.zip_"),
        (put("submissions/\u00e9.zip"), "A__submissions/_303_251.zip_"),
        (put("submissions/old.zip"), "M_submissions/old.zip"),
        (lambda merged: (merged / "submissions" / "old.zip").unlink(), "D_submissions/old.zip"),
        (lambda merged: shutil.rmtree(merged / "results" / "plans"), "D_results/plans/"),
        (moved, "D_submissions/old.zip"),
        (link, "A_submissions/l.zip"),
        (linked_folder, "A_submissions"),
        (program, "A_submissions/x.zip"),
    ],
)
def test_a_pull_request_may_do_nothing_else(
    merged: Path, bundle: Path, change: Callable[[Path], object], told: str
) -> None:
    shutil.copy(bundle, merged / "submissions" / "mine.zip")
    change(merged)
    merge(merged)
    done = ran("Only new bundles", merged)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert all(line.startswith("not a new file submissions/NAME.zip: _") for line in lines)
    assert any(line.partition(told)[0].endswith(" ") and told in line for line in lines)
    assert not any("submissions/mine.zip" in line for line in lines)
    assert not (merged.parent / "evil").exists()


def test_without_the_target_branch_nothing_passes(merged: Path) -> None:
    """A checkout of one commit alone, say: there is nothing to compare with."""
    git(merged, "checkout", "--orphan", "alone")
    git(merged, "commit", "--message=alone")
    assert ran("Only new bundles", merged).returncode != 0
