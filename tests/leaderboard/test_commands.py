"""The commands: what they print, how they end, and that none of them needs torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.submissions import cells, fill, forged

from sftbench.cli.main import cli
from sftbench.errors import RequestError
from sftbench.store import Store


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(Store(tmp_path_factory.mktemp("store") / "results"), cells(seeds=1)).path


def sftbench(*words: object) -> Result:
    return CliRunner().invoke(cli, ["leaderboard", *map(str, words)], standalone_mode=False)


def refused(*words: object) -> str:
    result = sftbench(*words)
    assert isinstance(result.exception, RequestError), result.output
    return str(result.exception)


NO_TORCH = '''
import sys


class NoTorch:
    """A finder that answers before every other. (None in sys.modules would confuse scipy.)"""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "torchvision"):
            raise ImportError(f"{name} must not be imported")


sys.meta_path.insert(0, NoTorch())
from sftbench.cli.main import cli

results, bundle, into = sys.argv[1:]
for words in (
    ["submit", results, "-o", bundle, "--name", "Ada Lovelace"],
    ["validate", bundle, "--against", results],
    ["merge", bundle, into, "--accept-new"],
):
    assert cli.main(["leaderboard", *words], standalone_mode=False) == 0
'''


def test_a_bundle_goes_its_way_where_torch_cannot_be_imported(
    results: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, str(results), "bundle.zip", "merged"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SFTBENCH_PLUGINS": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2 records, 1 plans by Ada Lovelace",
        f"2 records are in {results} already",
        "valid",
    ]
    assert done.stderr.splitlines() == [
        "wrote bundle.zip: 5 files",
        "added 2 records and 1 plans to merged; 0 were there already",
    ]
    assert len(Store(tmp_path / "merged").scan().records) == 2


def test_validate_says_what_is_wrong_and_ends_with_2(results: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    assert sftbench("submit", results, "-o", bundle).return_value == 0
    forged(bundle, lambda document: document["metrics"]["selected"]["test"].update(nll=0.0))
    told = sftbench("validate", bundle)
    assert told.return_value == 2
    first, error, note, end = told.output.splitlines()
    assert first == "2 records, 1 plans"
    assert error.startswith("error: cells/")
    assert "nll on test (selected) is 0 in the record, " in error
    assert note == (
        "not checked: whether data, splits and protocols are the receiver's (--against RESULTS)"
    )
    assert end == "refused: 1 mistakes"
    as_json = json.loads(sftbench("validate", bundle, "--json").output)
    assert (as_json["valid"], as_json["compared_with_results"]) == (False, False)
    assert [one["level"] for one in as_json["findings"]] == ["error"]


def test_what_cannot_be_submitted(results: Path, tmp_path: Path) -> None:
    empty, bundle = tmp_path / "empty", tmp_path / "bundle.zip"
    assert refused("submit", empty, "-o", bundle) == (
        f"no record in {empty}; sftbench run --out {empty}"
    )
    assert refused("submit", results, "-o", tmp_path / "bundle.tar") == (
        f"{tmp_path}/bundle.tar: a bundle's name ends in .zip"
    )
    assert refused("submit", results, "-o", bundle, "--name", "<b>").startswith(
        "--name '<b>' is no name to show: at most 100 printable characters"
    )
    assert refused("submit", results, "-o", tmp_path / "none" / "bundle.zip") == (
        f"cannot write {tmp_path}/none/.bundle.draft.zip: No such file or directory"
    )
    assert list(tmp_path.iterdir()) == []


def test_broken_results_are_not_submitted(results: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(results, tmp_path / "broken")
    path = next(broken.glob("cells/*/attempt-1.json"))
    path.write_text("{}")
    told = refused("submit", broken, "-o", tmp_path / "bundle.zip")
    assert told == (
        f"1 files of {broken} are no records; the first: {path}: schema version None is not known "
        "to this version of sftbench; move them away"
    )


def test_options_that_do_not_go_together(results: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    assert refused("validate", bundle, "--accept-new") == (
        "--accept-new says what --against RESULTS accepts; give that too"
    )
    assert refused("validate", bundle, "--against", tmp_path) == (
        f"{tmp_path} holds no results; --against names a store"
    )
    assert refused("validate", bundle, "--against", results) == (
        f"cannot read {bundle}: No such file or directory"
    )
