"""The cache: whole entries, filled once, checked when read, limited in size."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from sftbench import cache
from sftbench.errors import CacheError, RequestError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_checked", set())


def write(text: str):
    def build(folder: Path) -> str:
        (folder / "a.txt").write_text(text)
        return f"a note on {text}"

    return build


def never(_folder: Path) -> str:
    raise AssertionError("built again")


def test_an_entry_is_built_once_and_found_again() -> None:
    assert cache.find("data", "one") is None
    place = cache.fill("data", "one", write("hello"))

    assert cache.fill("data", "one", never) == place == cache.find("data", "one")
    assert (place / "a.txt").read_text() == "hello"
    [entry] = cache.entries("data")
    assert (entry.key, entry.note, entry.size) == ("one", "a note on hello", 5)


def test_what_cannot_be_built_is_no_entry_and_can_be_gone_on_with() -> None:
    def breaks(folder: Path) -> str:
        (folder / "part").write_text("half")
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        cache.fill("data", "one", breaks)
    assert cache.find("data", "one") is None
    assert cache.entries() == []

    def goes_on(folder: Path) -> str:
        assert (folder / "part").read_text() == "half"
        return ""

    cache.fill("data", "one", goes_on)


@pytest.mark.parametrize("harm", ["bytes", "size", "missing", "more", "manifest", "link"])
def test_a_damaged_entry_is_said_and_built_again(
    harm: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cache.fill("arrays", "one", write("hello"))
    monkeypatch.setattr(cache, "_checked", set())  # as another process
    file = place / "a.txt"
    if harm == "bytes":
        file.write_text("jello")
    elif harm == "size":
        file.write_text("hello, you")
    elif harm == "missing":
        file.unlink()
    elif harm == "more":
        (place / "b.txt").write_text("")
    elif harm == "manifest":
        (place / "entry.json").write_text("{")
    else:
        (place / "real").write_text("hello")
        file.unlink()
        file.symlink_to("/etc/hostname")

    again = cache.fill("arrays", "one", write("hello"))

    assert "is damaged" in caplog.text
    assert again == place
    assert (place / "a.txt").read_text() == "hello"
    assert not file.is_symlink()


@pytest.mark.parametrize("key", ["", "..", "../x", "a/b", ".hidden", "a..b", "x" * 200, "a\n"])
def test_a_key_stays_in_its_section(key: str) -> None:
    with pytest.raises(RequestError, match="no valid name"):
        cache.fill("data", key, never)


def _fill_slowly(_number: int) -> int:
    built = 0

    def build(folder: Path) -> str:
        nonlocal built
        built += 1
        time.sleep(0.5)
        (folder / "a.txt").write_text("once")
        return ""

    cache.fill("pretrained", "shared", build)
    return built


def test_several_processes_build_it_once() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        built = pool.map(_fill_slowly, range(3))
    assert sum(built) == 1


def as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this one has used."""
    monkeypatch.setattr(cache, "_checked", set())


def test_what_a_run_uses_stays_whatever_the_limit_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", "15")
    cache.fill("arrays", "train", write("x" * 10))
    cache.fill("arrays", "test", write("x" * 10))
    assert {entry.key for entry in cache.entries("arrays")} == {"train", "test"}
    assert "more than SFTBENCH_CACHE_LIMIT" in caplog.text

    as_another_process(monkeypatch)
    assert cache.find("arrays", "train")
    cache.fill("arrays", "third", write("x" * 10))
    assert {entry.key for entry in cache.entries("arrays")} == {"train", "third"}


def test_what_is_made_again_goes_when_the_limit_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", "25")
    cache.fill("data", "kept", write("x" * 100))  # a person's own: never removed by itself
    for number, key in enumerate(("old", "used", "new")):
        place = cache.fill("arrays", key, write("x" * 10))
        os.utime(place / "entry.json", (number, number))
        if key == "used":
            cache.find("arrays", "old")
            os.utime(cache.cache_root() / "arrays/old/entry.json", (5, 5))
            as_another_process(monkeypatch)

    assert [entry.key for entry in cache.entries("arrays")] == ["new", "old"]
    assert [entry.key for entry in cache.entries("data")] == ["kept"]


def test_removed() -> None:
    cache.fill("data", "one", write("hello"))

    assert cache.remove("data", "one")
    assert not cache.remove("data", "one")
    assert cache.entries() == []


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SFTBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")

    assert cache.cache_root() == Path("/somewhere/sftbench")


def test_a_cache_of_somebody_else_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache.fill("data", "one", write("hello"))

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.find("data", "one") == place


def test_a_replacement_that_fails_leaves_the_old_one() -> None:
    place = cache.fill("weights", "one", write("old"))

    def breaks(folder: Path) -> str:
        (folder / "a.txt").write_text("half")
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        cache.fill("weights", "one", breaks, replace=True)
    assert (place / "a.txt").read_text() == "old"
    assert cache.broken_off() == [("weights", "one")]

    cache.fill("weights", "one", write("new"), replace=True)
    assert (place / "a.txt").read_text() == "new"
    assert cache.broken_off() == []


def test_what_a_killed_writer_left_is_no_part_of_an_entry() -> None:
    def build(folder: Path) -> str:
        (folder / ".record.json.0123456789abcdef.tmp").write_text("half")
        (folder / "a.txt").write_text("whole")
        return ""

    place = cache.fill("pretrained", "one", build)

    assert cache.find("pretrained", "one") == place
    assert cache.entries("pretrained")[0].size == 5


def test_a_cache_that_is_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError) as caught:
        cache.fill("data", "one", never)
    assert str(caught.value) == (
        f"the cache {tmp_path / 'file'} cannot be written (Not a directory); make room there, or "
        "name another folder in SFTBENCH_CACHE"
    )


def test_a_full_disk_is_told() -> None:
    def full(_folder: Path) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CacheError, match="No space left on device"):
        cache.fill("weights", "one", full)
    assert cache.broken_off() == []


def growing(folder: Path) -> str:
    with (folder / "rows.bin").open("wb") as file:
        file.truncate(50_000_000)
    (folder / "form.json").write_text("{}")
    return "rows"


def test_an_entry_that_grows_has_the_size_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache.fill("features", "one", growing, growing=("rows.bin",))
    assert cache.entries("features")[0].size == 2

    with (place / "rows.bin").open("r+b") as file:
        file.seek(30_000_000)
        file.write(b"x" * 20_000)
    monkeypatch.setattr(cache, "_checked", set())  # as another process

    assert cache.find("features", "one") == place
    assert 20_002 <= cache.entries("features")[0].size < 1_000_000
    assert cache.problem("features", "one") is None

    (place / "form.json").write_text("[]")
    monkeypatch.setattr(cache, "_checked", set())
    assert cache.problem("features", "one") == "'form.json' has other bytes"
    os.truncate(place / "rows.bin", 3)
    assert cache.find("features", "one") is None


def test_what_has_grown_goes_when_the_limit_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", "1MB")
    old = cache.fill("features", "old", growing, growing=("rows.bin",))
    os.utime(old / "entry.json", (1, 1))
    new = cache.fill("features", "new", growing, growing=("rows.bin",))
    assert len(cache.entries("features")) == 2

    (new / "rows.bin").write_bytes(b"x" * 2_000_000)
    as_another_process(monkeypatch)
    cache.make_room(keep=new)

    assert [entry.key for entry in cache.entries("features")] == ["new"]
