"""The commands: what they print, how they end, and that none of them needs torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.submissions import cells, contents, fill, forged, rebuilt

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
        f"{bundle}: cannot be opened: no such file or directory"
    )


@pytest.fixture
def bundle(results: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bundle.zip"
    assert sftbench("submit", results, "-o", path).return_value == 0
    return path


def with_manifest(bundle: Path, content: bytes) -> Path:
    """Write a bundle that is a manifest and nothing else."""
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", content)
    return bundle


def also_listed(bundle: Path, *names: str) -> Path:
    """List members in the manifest that are not in the archive."""
    members = contents(bundle)
    rebuilt(bundle, members)
    with zipfile.ZipFile(bundle) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["members"] += [{"name": name, "bytes": 1, "sha256": "0" * 64} for name in names]
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)
    return bundle


HOSTILE = [
    "<script>\n::error::x",
    "::error::x",
    "x\r::error::x.parquet",
    "\n::error::x.parquet",
    "\x1b[31m.json",
    "\u2028::error::x",
]


def plain_lines(text: str) -> list[str]:
    """Return printed lines, after a look whether a terminal or a CI log would obey one."""
    lines = text.removesuffix("\n").split("\n")
    assert all(line.isprintable() and line for line in lines)
    assert not any(line.startswith("::") for line in lines)
    return lines


def test_hostile_names_in_a_manifest_are_a_plain_line_each(bundle: Path) -> None:
    told = sftbench("validate", also_listed(bundle, *HOSTILE))
    assert told.return_value == 2
    errors = [line for line in plain_lines(told.output) if line.startswith("error: ")]
    assert len(errors) == len(HOSTILE)
    assert "error: <script>\\n::error::x: is in the manifest only" in errors


def test_hostile_names_in_an_archive_are_a_plain_line_each(bundle: Path) -> None:
    members = contents(bundle)
    rebuilt(bundle, {**members, **dict.fromkeys(HOSTILE, b"")})
    told = sftbench("validate", bundle)
    assert told.return_value == 2
    errors = [line for line in plain_lines(told.output) if line.startswith("error: ")]
    assert len(errors) == len(HOSTILE)


def test_a_path_with_a_newline_is_told_in_one_line(
    results: Path, bundle: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a\n::error::x"
    submitted = sftbench("submit", results, "-o", f"{odd}.zip")
    merged = sftbench("merge", bundle, odd, "--accept-new")
    validated = sftbench("validate", bundle, "--against", odd)
    for done in (submitted, merged, validated):
        assert done.return_value == 0
        plain_lines(done.output)


@pytest.mark.parametrize("words", [("validate",), ("merge",)])
def test_a_named_pipe_is_refused_at_once(
    results: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    command = [*words, "pipe.zip", *(["--against"] if words == ("validate",) else []), results]
    done = subprocess.run(
        [sys.executable, "-m", "sftbench", "leaderboard", *map(str, command)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: pipe.zip: is not a regular file\n"


def test_a_bundle_is_no_link(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "link.zip").symlink_to(bundle)
    assert refused("validate", tmp_path / "link.zip") == (
        f"{tmp_path}/link.zip: cannot be opened: is a symbolic link"
    )


@pytest.mark.parametrize("version", ["99<script>", "", "1.0\n", " 1.0", "1" * 200, "v1.0", "new"])
def test_a_version_that_is_none(bundle: Path, version: str) -> None:
    told = refused("validate", rebuilt(bundle, contents(bundle), sftbench=version))
    assert told.startswith(f"{bundle}: manifest.json sftbench: Value error, ")
    assert told.endswith("is no version")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"members":[' + "1," * 3_000_000 + "1]}", "members: is no list of at most 65,000"),
        (
            '{"members":[' + "1," * 60_000 + "1]}",
            "members: has one that is not a name, bytes and sha256",
        ),
        (
            '{"sftbench":"0.1.0","members":[' + '{"bytes":-1},' * 60_000 + "{}]}",
            "members.0.name: Field required",
        ),
        (
            '{"members":[{' + ",".join(f'"{i}":1' for i in range(500_000)) + "}]}",
            "members: has one that is not a name, bytes and sha256",
        ),
        ("{" + ",".join(f'"{i}":1' for i in range(500_000)) + "}", "has keys that none has"),
        ('{"members":{}}', "members: is no list of at most 65,000"),
    ],
    ids=["many", "numbers", "objects", "keys of a member", "keys", "no list"],
)
def test_a_manifest_of_mistakes_costs_little(tmp_path: Path, content: str, told: str) -> None:
    """One error for each of them took gigabytes."""
    with_manifest(tmp_path / "bundle.zip", content.encode())
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "bundle.zip"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [f"bundle.zip: manifest.json {told}"], done.stderr


MEASURED = """
import resource, sys, tempfile
from pathlib import Path
from sftbench.errors import RequestError
from sftbench.leaderboard.bundles import unpack_bundle

before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (before + (300 << 20),) * 2)
with tempfile.TemporaryDirectory() as folder:
    try:
        unpack_bundle(Path(sys.argv[1]), Path(folder))
    except RequestError as error:
        print(error)
"""
