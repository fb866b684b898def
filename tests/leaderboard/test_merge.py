"""A submission is added whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.submissions import cells, contents, fill, forged, honest, rebuilt

from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError
from sftbench.leaderboard import merging
from sftbench.leaderboard.merging import merge
from sftbench.leaderboard.submitting import submit
from sftbench.records import Record
from sftbench.store import Store


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return build_catalog(chosen="")


@pytest.fixture(scope="module")
def whole(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("whole")
    submit(fill(Store(folder / "results"), cells()).path, folder / "bundle.zip", catalog)
    return folder / "bundle.zip"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of seed 0 alone: other runs of two of the bundle's cells."""
    store = fill(Store(tmp_path_factory.mktemp("other") / "host"), cells(seeds=1))
    return store.path


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path))


@pytest.fixture
def host(other: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(other, tmp_path / "host"))


def files(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name != ".merge.lock"
    }


def rerun(bundle: Path) -> Path:
    """Make the bundle's records runs of another day."""
    for name in [one for one in contents(bundle) if one.startswith("cells") and "json" in one]:
        forged(bundle, lambda document: document.update(finished_at="2026-02-02T00:00:00Z"), name)
    return bundle


def test_an_empty_store_takes_all(bundle: Path, catalog: Catalog, tmp_path: Path) -> None:
    done = merge(bundle, tmp_path / "new", catalog, accept_new=True)
    assert (done.added, done.duplicates, done.plans) == (4, 0, 1)
    store = Store(tmp_path / "new")
    scan = store.scan()
    assert (len(scan.records), scan.problems) == (4, ())
    for record in scan.records.values():
        assert record.metrics == honest(record.cell)[0].metrics
        assert len(store.predictions(record)) == 2
        # Computed here: the bundle has none.
        resampled = store.resampled(record)
        assert resampled is not None
        assert resampled.num_examples == 12
    (plan,) = store.plans()
    assert len(plan.cells) == 4


def test_what_is_there_already_is_skipped_and_counted(
    bundle: Path, catalog: Catalog, tmp_path: Path
) -> None:
    merge(bundle, tmp_path / "new", catalog, accept_new=True)
    before = files(tmp_path / "new")
    done = merge(bundle, tmp_path / "new", catalog)
    assert (done.added, done.duplicates, done.plans) == (0, 4, 0)
    assert files(tmp_path / "new") == before


def test_another_run_of_a_cell_gets_the_next_number(
    bundle: Path, host: Path, catalog: Catalog
) -> None:
    before = files(host)
    done = merge(rerun(bundle), host, catalog)
    assert (done.added, done.duplicates) == (4, 0)
    after = files(host)
    assert {name: after[name] for name in before} == before
    scan = Store(host).scan()
    assert scan.problems == ()
    assert sorted(scan.attempts.values()) == [1, 1, 2, 2]
    twice = next(cell_id for cell_id, count in scan.attempts.items() if count == 2)
    record = scan.records[twice]
    assert (record.attempt, record.finished_at) == (2, "2026-02-02T00:00:00Z")
    assert record.predictions is not None
    assert record.predictions.file == "attempt-2.parquet"
    assert len(Store(host).predictions(record)) == 2


def test_no_byte_of_the_bundle_gets_into_the_store(
    bundle: Path, catalog: Catalog, tmp_path: Path
) -> None:
    """What the reader passes over in a file of somebody else is not there any more."""
    members = contents(bundle)
    name = next(one for one in members if one.startswith("cells") and one.endswith(".json"))
    members[name] = b"\n" * 1000 + members[name]
    rebuilt(bundle, members)
    merge(bundle, tmp_path / "new", catalog, accept_new=True)
    written = (tmp_path / "new" / name).read_bytes()
    assert not written.startswith(b"\n")
    assert Record.model_validate_json(written) == Record.model_validate_json(members[name])


def test_a_mistake_adds_nothing(bundle: Path, host: Path, catalog: Catalog) -> None:
    def change(document: dict) -> None:  # type: ignore[type-arg]
        document["metrics"]["selected"]["test"]["accuracy"] = 1.0

    before = files(host)
    with pytest.raises(RequestError) as caught:
        merge(forged(bundle, change), host, catalog)
    told = str(caught.value)
    assert told.startswith(f"{bundle}: 1 mistakes, so nothing was added; the first: cells/")
    assert told.endswith(f"sftbench leaderboard validate {bundle} --against {host})")
    assert files(host) == before


@pytest.mark.parametrize("broken_at", [0, 4, 10])
def test_a_disk_that_fails_while_files_are_moved(
    bundle: Path, host: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, broken_at: int
) -> None:
    before = files(host)
    moves = 0
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        nonlocal moves
        if self.parent.parent.parent.name.startswith(".merge-") and "host/cells" in str(target):
            if ".merge-" not in str(target):
                moves += 1
            if moves > broken_at:
                raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(RequestError, match="No space left on device; nothing was added"):
        merge(rerun(bundle), host, catalog)
    monkeypatch.undo()
    assert files(host) == before
    assert merge(bundle, host, catalog).added == 4


def test_a_disk_that_fails_while_files_are_staged(
    bundle: Path, host: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(host)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging, "write_json", full)
    with pytest.raises(RequestError, match="No space left on device; nothing was added"):
        merge(rerun(bundle), host, catalog)
    assert files(host) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from sftbench.discovery import build_catalog
from sftbench.leaderboard import merging

moves = int(sys.argv[3])
def move(stage, into, names):
    for name in names[:moves]:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).rename(into / name)
    os.kill(os.getpid(), signal.SIGKILL)
merging._move = move
if moves < 0:
    merging.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
merging.merge(Path(sys.argv[1]), Path(sys.argv[2]), build_catalog(chosen=""))
"""


@pytest.mark.parametrize(("moves", "added_before"), [(-1, 0), (4, 4)])
def test_a_merge_that_is_killed(
    bundle: Path, host: Path, catalog: Catalog, moves: int, added_before: int
) -> None:
    """Before its journal nothing was decided; after it the next merge finishes what was."""
    before = Store(host).scan()
    rerun(bundle)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(bundle), str(host), str(moves)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # A reader in between sees whole attempts only.
    between = Store(host).scan()
    assert between.problems == ()
    assert sum(between.attempts.values()) >= sum(before.attempts.values())

    assert merge(bundle, host, catalog).added == 4 - added_before
    scan = Store(host).scan()
    assert (len(scan.records), scan.problems) == (4, ())
    assert sum(scan.attempts.values()) == 6
    assert list(host.glob(".merge-*")) == []


def test_a_link_in_the_store_is_not_followed(
    bundle: Path, catalog: Catalog, tmp_path: Path
) -> None:
    host, elsewhere = tmp_path / "linked", tmp_path / "elsewhere"
    elsewhere.mkdir()
    host.mkdir()
    (host / "cells").symlink_to(elsewhere)
    with pytest.raises(Exception, match="is a symbolic link, which is not followed"):
        merge(bundle, host, catalog, accept_new=True)
    assert list(elsewhere.iterdir()) == []


def test_a_store_that_knows_nothing_takes_only_what_it_is_told_to(
    bundle: Path, catalog: Catalog, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    with pytest.raises(RequestError) as caught:
        merge(bundle, new, catalog)
    assert str(caught.value) == (
        f"{new} holds no results, so no data set or protocol is known there: --accept-new takes "
        "those of the bundle"
    )
    assert not new.exists()
    assert merge(bundle, new, catalog, accept_new=True).added == 4


def test_a_mistake_leaves_nothing_of_a_new_store_and_names_a_command_that_works(
    bundle: Path, catalog: Catalog, tmp_path: Path
) -> None:
    def change(document: dict) -> None:  # type: ignore[type-arg]
        document["metrics"]["selected"]["test"]["accuracy"] = 1.0

    bad, new = forged(bundle.rename(tmp_path / "a b.zip"), change), tmp_path / "above" / "new"
    with pytest.raises(RequestError) as caught:
        merge(bad, new, catalog, accept_new=True)
    advised = str(caught.value).partition("all of them: ")[2]
    assert advised == f"sftbench leaderboard validate '{bad}')"
    assert list(tmp_path.iterdir()) == [bad]
    command = [sys.executable, "-m", *shlex.split(advised[:-1])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "refused: 1 mistakes" in done.stdout


def test_a_folder_that_is_no_store_yet_is_left_as_it_was(
    bundle: Path, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="holds no results"):
        merge(bundle, tmp_path / "empty", catalog)
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_command_to_see_all_mistakes_accepts_what_the_merge_did(
    bundle: Path, host: Path, catalog: Catalog
) -> None:
    def change(document: dict) -> None:  # type: ignore[type-arg]
        document["metrics"]["selected"]["test"]["accuracy"] = 1.0

    with pytest.raises(RequestError) as caught:
        merge(forged(bundle, change), host, catalog, accept_new=True)
    assert str(caught.value).endswith(f"--against {host} --accept-new)")


def test_a_store_that_another_merge_began_meanwhile_is_compared_with(
    bundle: Path, host: Path, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked against nothing is checked again once the store has results."""
    new, locked = tmp_path / "new", merging._locked

    def late(into: Path) -> AbstractContextManager[None]:
        shutil.copytree(host, into)
        return locked(into)

    monkeypatch.setattr(merging, "_locked", late)
    honest_copy = Path(shutil.copy(bundle, tmp_path / "other.zip"))
    done = merge(honest_copy, new, catalog, accept_new=True)
    assert (done.added, done.duplicates) == (2, 2)
