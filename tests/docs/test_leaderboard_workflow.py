"""The workflow for a repository of results: harmless by its form, and its script does its work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
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
    checkouts = [step for step in STEPS if "checkout" in step.get("uses", "")]
    assert len(checkouts) == 2
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_actions_are_pinned_and_no_text_of_a_stranger_is_in_a_script() -> None:
    assert all(
        re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in STEPS if "uses" in step
    )
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 3
    assert not any("${{" in script for script in scripts)
    assert scripts[0] == "pip install sftbench"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as the workflow has it: the target branch, and an equal submission."""
    folder = tmp_path_factory.mktemp("checkout")
    fill(Store(folder / "target" / "results"), cells(seeds=1))
    (folder / "target" / "submissions").mkdir()
    shutil.copytree(folder / "target", folder / "submitted")
    others = fill(Store(folder / "mine"), [cell for cell in cells(seeds=2) if cell.seed == 1])
    submit(others.path, folder / "mine.zip", build_catalog(chosen=""))
    (folder / "bin").mkdir()
    command = folder / "bin" / "sftbench"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sftbench "$@"\n')
    command.chmod(0o755)
    return folder


def ran(number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    script = [step["run"] for step in STEPS if "run" in step][number]
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
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


def test_a_pull_request_may_change_nothing_but_submissions(checkout: Path) -> None:
    assert ran(1, checkout).returncode == 0
    (checkout / "submitted" / "setup.py").write_text("import os")
    done = ran(1, checkout)
    (checkout / "submitted" / "setup.py").unlink()
    assert (done.returncode, done.stdout) == (1, "Only in submitted: setup.py\n")


def test_bundles_are_validated_whatever_they_are_called(checkout: Path) -> None:
    bundle = checkout / "submitted" / "submissions" / "a $(touch evil) b.zip"
    shutil.copy(checkout / "mine.zip", bundle)
    done = ran(2, checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "::group::submitted/submissions/a___touch_evil__b.zip",
        "2 records, 1 plans",
        "valid",
        "::endgroup::",
    ]
    assert not (checkout / "evil").exists()
    forged(bundle, lambda document: document["metrics"]["selected"]["test"].update(accuracy=1.0))
    done = ran(2, checkout)
    bundle.unlink()
    assert done.returncode == 1
    assert "refused: 1 mistakes" in done.stdout
