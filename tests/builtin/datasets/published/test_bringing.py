"""Fetching from a real server and from packages, and taking over what a person has."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sftbench import cache
from sftbench.api import Examples, Published, RequestError, Split, UnavailableError
from sftbench.builtin.datasets.published.bringing import Package
from sftbench.builtin.datasets.published.family import PublishedSet
from sftbench.builtin.datasets.published.layout import Download, Layout
from sftbench.builtin.datasets.published.readers import named
from sftbench.data.fingerprints import fingerprint

NUM: dict[Split, int] = {"train": 6, "test": 4}
PIXELS = {split: np.full((num, 2, 3, 1), num, dtype=np.uint8) for split, num in NUM.items()}


def labels(num: int) -> np.ndarray:
    return np.arange(num, dtype=np.int64) % 2


def read(folder: Path, split: Split) -> Examples:
    raw = np.frombuffer((folder / "tiny" / f"{split}.bin").read_bytes(), dtype=np.uint8)
    return Examples(raw.reshape(-1, 2, 3, 1), labels(len(raw) // 6))


def archive(file: Path, **changed: bytes) -> Path:
    """Write the published archive of both splits, each a file of raw pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as out:
        for split, pixels in PIXELS.items():
            content = changed.get(split, pixels.tobytes())
            info = tarfile.TarInfo(f"tiny/{split}.bin")
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return file


def arrays(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, num in NUM.items():
        np.save(folder / f"{split}_images.npy", PIXELS[split])
        np.save(folder / f"{split}_labels.npy", labels(num))
    return folder


class Tiny(PublishedSet):
    """Two classes of grey dots."""

    name = "tiny"
    summary = "two classes of grey dots"
    native = (2, 3, 1)
    published = Published(
        num_classes=2,
        num_train=6,
        num_test=4,
        images="2 x 3 grey",
        licence="MIT",
        citation="nobody",
        homepage="http://127.0.0.1/tiny",
        fingerprints={
            split: fingerprint(Examples(PIXELS[split], labels(num))) for split, num in NUM.items()
        },
    )
    layout = Layout(
        marks=("tiny/train.bin", "tiny/test.bin"),
        class_names=named("a", "b"),
        read=read,
        downloads=(Download("http://127.0.0.1:9/tiny.tar.gz", None),),
    )


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The publisher's folder, served; Tiny is fetched from it, with the archive's md5."""
    folder = tmp_path / "publisher"
    file = archive(folder / "tiny.tar.gz")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/tiny.tar.gz"
    declare(monkeypatch, Download(url, hashlib.md5(file.read_bytes()).hexdigest()))
    yield folder
    server.shutdown()
    server.server_close()


def declare(monkeypatch: pytest.MonkeyPatch, *downloads: Download, **changes: object) -> None:
    given = {"marks": Tiny.layout.marks, "class_names": named("a", "b"), "read": read}
    layout = Layout(**{**given, "downloads": downloads, **changes})  # type: ignore[arg-type]
    monkeypatch.setattr(Tiny, "layout", layout)


def quiet(*_: object) -> None:
    pass


def never(_folder: Path, _progress: object) -> None:
    raise AssertionError("asked")


def test_the_publisher_s_archive_becomes_an_entry(publisher: Path) -> None:
    told = []
    Tiny().fetch(lambda *one: told.append(one))
    place = cache.cache_root() / "data" / "tiny"
    assert Tiny().where() == str(place)
    assert sorted(str(one.relative_to(place)) for one in place.rglob("*") if one.is_file()) == [
        "entry.json",
        "tiny/test.bin",
        "tiny/train.bin",
    ]
    assert cache.entries("data")[0].note == "from its publisher"
    assert told[0][0] == "tiny.tar.gz"
    np.testing.assert_array_equal(Tiny().load("train", 224).inputs, PIXELS["train"])
    assert Tiny().info().source == f"files in {place}"


def test_archives_in_an_archive_are_unpacked_too(
    publisher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(publisher / "nested.zip", "w") as out:
        for split, pixels in PIXELS.items():
            out.writestr(f"inner/{split}.bin.gz", gzip.compress(pixels.tobytes()))
        out.writestr("readme.txt", "hello")
    base = Tiny.layout.downloads[0].url.rpartition("/")[0]
    declare(monkeypatch, Download(f"{base}/nested.zip", None, "tiny", then="inner/*.gz"))
    Tiny().fetch(quiet)
    np.testing.assert_array_equal(Tiny().load("test", 32).inputs, PIXELS["test"])
    place = cache.cache_root() / "data" / "tiny"
    assert sorted(path.name for path in place.rglob("*") if path.is_file()) == [
        "entry.json",
        "readme.txt",
        "test.bin",
        "train.bin",
    ]


@pytest.mark.parametrize("imported", [False, True])
def test_files_that_are_no_archives_stand_where_they_belong(
    publisher: Path, monkeypatch: pytest.MonkeyPatch, *, imported: bool
) -> None:
    base = Tiny.layout.downloads[0].url.rpartition("/")[0]
    files = []
    for split, pixels in PIXELS.items():
        (publisher / f"{split}.bin").write_bytes(pixels.tobytes())
        md5 = hashlib.md5(pixels.tobytes()).hexdigest()
        files.append(Download(f"{base}/{split}.bin", md5, "tiny", unpack=False))
    declare(monkeypatch, *files)
    if imported:
        Tiny().import_from(publisher)
    else:
        Tiny().fetch(quiet)
    np.testing.assert_array_equal(Tiny().load("test", 32).inputs, PIXELS["test"])
    assert (publisher / "test.bin").exists()


def test_what_is_here_is_not_fetched_again(publisher: Path) -> None:
    Tiny().fetch(quiet)
    (publisher / "tiny.tar.gz").unlink()
    Tiny().fetch(quiet)
    archive(publisher / "tiny.tar.gz")
    cache.remove("data", "tiny")
    arrays(Path("data/tiny"))
    Tiny().fetch(quiet)  # in ./data it is here, too
    assert cache.entries("data") == []


def test_a_damaged_entry_is_named_and_fetched_anew(
    publisher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tiny().fetch(quiet)
    place = cache.cache_root() / "data" / "tiny"
    (place / "tiny" / "test.bin").write_bytes(bytes(24))
    monkeypatch.setattr(cache, "_checked", set())
    with pytest.raises(UnavailableError) as caught:
        Tiny().load("test", 32)
    assert str(caught.value) == (
        f"{place}: 'tiny/test.bin' has other bytes; get it anew: sftbench data list "
        "--prune data/tiny, then sftbench data fetch tiny"
    )
    Tiny().fetch(quiet)
    assert Tiny().load("test", 32).inputs[0].max() == 4


def test_an_unpacking_that_broke_off_begins_with_the_file_that_is_here(publisher: Path) -> None:
    partial_folder = cache.cache_root() / "data" / ".tiny.partial"
    archive(partial_folder / "tiny.tar.gz")
    told = []
    Tiny().fetch(lambda *one: told.append(one))
    assert told == []
    assert Tiny().load("test", 32).inputs[0].max() == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bytes(24), "the content of test is not the published one"),
        (bytes(18), "3 examples in test, published are 4"),
    ],
)
def test_other_content_is_no_entry(
    publisher: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    archive(publisher / "tiny.tar.gz", test=content)
    declare(monkeypatch, Download(Tiny.layout.downloads[0].url, None))
    with pytest.raises(UnavailableError, match=says):
        Tiny().fetch(quiet)
    assert Tiny().where() is None


def test_a_package_serves_where_the_publisher_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packages = (
        Package("missing package", lambda: "it is not installed", never),
        Package("good package", lambda: None, lambda folder, _: arrays(folder) and None),
        Package("last package", lambda: None, never),
    )
    monkeypatch.setattr(Tiny, "packages", packages)
    with caplog.at_level(logging.WARNING):
        Tiny().fetch(quiet)
    assert caplog.messages == ["missing package: it is not installed; now the good package"]
    assert cache.entries("data")[0].note == "from the good package"
    np.testing.assert_array_equal(Tiny().load("train", 32).inputs, PIXELS["train"])
    assert Tiny().info().class_names == ("a", "b")


def test_a_package_with_other_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(folder: Path, _: object) -> None:
        arrays(folder)
        np.save(folder / "test_images.npy", PIXELS["test"] + 1)

    monkeypatch.setattr(Tiny, "packages", (Package("evil package", lambda: None, bring),))
    with pytest.raises(UnavailableError, match=r"evil package: .*content of test is not the pub"):
        Tiny().fetch(quiet)
    assert Tiny().where() is None
    assert not (cache.cache_root() / "data" / ".tiny.partial").exists()


def test_where_nothing_serves_every_reason_and_a_way_are_told() -> None:
    with pytest.raises(UnavailableError) as caught:
        Tiny().fetch(quiet)
    assert str(caught.value) == (
        "tiny cannot be had here (publisher: 127.0.0.1:9 cannot be reached (Connection refused)); "
        "bring tiny.tar.gz from http://127.0.0.1/tiny and run: sftbench data import tiny PATH; "
        "--dataset fashion-mnist-mini comes with sftbench"
    )


def test_what_must_be_brought_by_hand_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, by_hand="get tiny in a browser")
    with pytest.raises(UnavailableError) as caught:
        Tiny().fetch(quiet)
    assert str(caught.value) == ("get tiny in a browser; then run: sftbench data import tiny PATH")


@pytest.mark.parametrize("given", ["top", "top/tiny", "archive", "archive/tiny.tar.gz", "arrays"])
def test_every_form_is_taken_over(given: str, tmp_path: Path) -> None:
    file = archive(tmp_path / "archive" / "tiny.tar.gz")
    with tarfile.open(file) as opened:
        opened.extractall(tmp_path / "top", filter="data")
    (tmp_path / "top" / "other").write_text("not of this set")
    arrays(tmp_path / "arrays")
    Tiny().import_from(tmp_path / given)
    place = cache.cache_root() / "data" / "tiny"
    assert cache.entries("data")[0].note == f"imported from {tmp_path / given}"
    np.testing.assert_array_equal(Tiny().load("test", 32).inputs, PIXELS["test"])
    assert not (place / "other").exists()
    assert file.exists()
    assert not list(place.glob(".*"))


def test_what_does_not_fit_is_not_taken_over(tmp_path: Path, publisher: Path) -> None:
    with pytest.raises(UnavailableError, match="no such file or folder"):
        Tiny().import_from(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnavailableError) as caught:
        Tiny().import_from(tmp_path / "empty")
    assert str(caught.value) == (
        f"{tmp_path}/empty: is not tiny; expected a folder with tiny/train.bin, tiny/test.bin, or "
        "the published tiny.tar.gz, or the four arrays; tiny.tar.gz is not there"
    )
    archive(tmp_path / "tiny.tar.gz", test=bytes(24))
    with pytest.raises(UnavailableError, match=r"tiny.tar.gz: its md5 is \w+, not \w+: not whole"):
        Tiny().import_from(tmp_path)
    np.save(arrays(tmp_path / "arrays") / "test_labels.npy", np.array([1, 0, 1, 0]))
    with pytest.raises(UnavailableError, match="the content of test is not the published one"):
        Tiny().import_from(tmp_path / "arrays")
    assert Tiny().where() is None


def test_an_import_does_not_mix_with_a_broken_off_fetch_nor_replace_data(tmp_path: Path) -> None:
    partial_folder = cache.cache_root() / "data" / ".tiny.partial"
    partial_folder.mkdir(parents=True)
    (partial_folder / "tiny.tar.gz.part").write_bytes(b"half")
    Tiny().import_from(arrays(tmp_path / "arrays"))
    place = cache.cache_root() / "data" / "tiny"
    assert len(list(place.iterdir())) == 5
    with pytest.raises(RequestError, match=r"tiny is in .* already; to replace it: "):
        Tiny().import_from(tmp_path / "arrays")


def test_a_part_of_the_files_is_named() -> None:
    (Path("data") / "tiny").mkdir(parents=True)
    (Path("data") / "tiny" / "train.bin").touch()
    with pytest.raises(UnavailableError) as caught:
        Tiny().info()
    assert str(caught.value) == (
        "data/tiny/test.bin: missing; replace it there, or take it away and run: "
        "sftbench data fetch tiny"
    )
