from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from sftbench import unpacking
from sftbench.errors import UnavailableError
from sftbench.unpacking import copy_tree, unpack


def tar(file: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(file, "w:gz") as out:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
        if link is not None:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            out.addfile(info)
    return file


def zipped(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return file


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


GOOD = {"a/b.txt": b"one", "c.txt": b"two"}


@pytest.mark.parametrize("make", [tar, zipped])
def test_files_come_out_as_they_went_in(tmp_path: Path, make) -> None:
    name = "x.tar.gz" if make is tar else "x.zip"
    unpack(make(tmp_path / name, GOOD), tmp_path / "out")
    assert tree(tmp_path / "out") == GOOD


def test_a_single_gz_becomes_the_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "x-ubyte.gz").write_bytes(gzip.compress(b"content"))
    unpack(tmp_path / "x-ubyte.gz", tmp_path / "out")
    assert tree(tmp_path / "out") == {"x-ubyte": b"content"}


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "a\\..\\b"])
def test_nothing_climbs_out(tmp_path: Path, make, name: str) -> None:
    archive = make(tmp_path / ("x.tgz" if make is tar else "x.zip"), {name: b"evil"})
    with pytest.raises(UnavailableError, match="leads out of the folder"):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path) == {archive.name: archive.read_bytes()}


def test_links_are_passed_over(tmp_path: Path) -> None:
    unpack(tar(tmp_path / "x.tgz", GOOD, link="/etc"), tmp_path / "out")
    assert tree(tmp_path / "out") == GOOD
    assert not (tmp_path / "out" / "link").is_symlink()


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_bomb_is_stopped(tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_LEAST_LIMIT", 1000)
    archive = make(tmp_path / ("x.tgz" if make is tar else "x.zip"), {"zero": bytes(3 << 20)})
    with pytest.raises(UnavailableError, match="grows to more than 100 times its size"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "cut"),
    [(name, cut) for name in ("x.tgz", "x.zip", "x.gz") for cut in (1, 20, 100)],
)
def test_a_damaged_archive_is_named(tmp_path: Path, name: str, cut: int) -> None:
    file = tmp_path / name
    if name == "x.gz":
        file.write_bytes(gzip.compress(bytes(range(256))))
    else:
        (tar if name == "x.tgz" else zipped)(file, GOOD)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(UnavailableError) as caught:
        unpack(file, tmp_path / "out")
    assert str(caught.value) == f"{file}: not a whole archive; get it again"


def test_a_copy_follows_links_to_files(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "real.txt").write_text("real")
    (tmp_path / "from" / "link.txt").symlink_to(tmp_path / "real.txt")
    copy_tree(tmp_path / "from", tmp_path / "to")
    assert tree(tmp_path / "to") == {"link.txt": b"real"}
    assert not (tmp_path / "to" / "link.txt").is_symlink()
