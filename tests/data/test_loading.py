"""A split from the cache: decoded once, whole or told, and never because of the cache failed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sftbench import cache
from sftbench.api import Dataset, DatasetInfo, Examples, Split, UnavailableError
from sftbench.data import loading
from sftbench.data.loading import left_out, load_split


class Counted(Dataset):
    """Twelve images of three classes; says in a file how often they were decoded."""

    name = "counted"
    summary = "for this test"

    def __init__(self, log: Path, *lines: str, key: str | None = "k", lost: int = 0) -> None:
        super().__init__()
        self.log, self.lines, self.key, self.lost = log, lines, key, lost

    def info(self) -> DatasetInfo:
        return DatasetInfo(name="counted", class_names=("a", "b", "c"), num_train=12, num_test=12)

    def load(self, split: Split, image_size: int) -> Examples:
        time.sleep(0.05)
        with self.log.open("a") as stream:
            stream.write("decoded\n")
        targets = np.repeat(np.arange(3), 4)[: 12 - self.lost].astype(np.int64)
        shape = (len(targets), image_size, image_size, 3)
        inputs = np.random.default_rng(len(split)).integers(0, 256, shape, dtype=np.uint8)
        groups = np.arange(len(targets), dtype=np.int64) if split == "test" else None
        return Examples(inputs, targets, unreadable=self.lines, groups=groups)

    def cache_key(self, split: Split, image_size: int) -> str | None:
        return self.key


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_checked", set())
    return tmp_path / "cache"


def decoded(dataset: Counted) -> int:
    return len(dataset.log.read_text().splitlines()) if dataset.log.exists() else 0


def load(
    dataset: Dataset, split: Split = "train", size: int = 8, *, skip: bool = False
) -> Examples:
    return load_split(dataset, split, size, skip_unreadable=skip)


def same(one: Examples, two: Examples) -> bool:
    return (
        np.array_equal(one.inputs, np.asarray(two.inputs))
        and np.array_equal(one.targets, two.targets)
        and one.unreadable == two.unreadable
        and (one.groups is None) is (two.groups is None)
        and (one.groups is None or np.array_equal(one.groups, two.groups))
    )


def test_arrays_are_decoded_once_and_mapped(tmp_path: Path) -> None:
    dataset = Counted(tmp_path / "log")
    for split in ("train", "test"):
        direct = dataset.load(split, 8)
        assert same(load(dataset, split), direct)
        assert same(load(dataset, split), direct)
        mapped = load(dataset, split).inputs
        assert isinstance(mapped, np.memmap)
        assert not mapped.flags.writeable
    assert decoded(dataset) == 4
    assert [entry.note for entry in cache.entries("arrays")].count("counted train, 8 pixels") == 1


def test_another_size_split_or_content_is_another_entry(tmp_path: Path) -> None:
    dataset = Counted(tmp_path / "log")
    load(dataset)
    load(dataset, size=9)
    load(dataset, "test")
    dataset.key = "later"
    load(dataset)
    dataset.algorithm_version = 2  # type: ignore[misc]
    load(dataset)
    assert decoded(dataset) == 5 == len(cache.entries("arrays"))


def test_without_a_key_nothing_is_kept(tmp_path: Path) -> None:
    dataset = Counted(tmp_path / "log", key=None)
    load(dataset)
    load(dataset)
    assert decoded(dataset) == 2
    assert cache.entries() == []


def test_a_damaged_entry_is_decoded_anew(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Counted(tmp_path / "log")
    direct = load(dataset)
    [file] = place.rglob("inputs.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(bytes(content))
    monkeypatch.setattr(cache, "_checked", set())  # as another process
    assert same(load(dataset), direct)
    assert decoded(dataset) == 2
    file.write_bytes(b"short")
    assert same(load(dataset), direct)
    assert decoded(dataset) == 3


def _load_in_process(log: Path) -> None:
    load(Counted(log))


def test_two_processes_decode_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_load_in_process, args=(tmp_path / "log",)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert decoded(Counted(tmp_path / "log")) == 1


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.write_text("a file where the folder should be")
    dataset = Counted(tmp_path / "log")
    with caplog.at_level(logging.WARNING):
        assert same(load(dataset), dataset.load("train", 8))
    assert decoded(dataset) == 2
    [line] = caplog.messages
    assert line.startswith(f"the cache {place} cannot keep the decoded images of counted (")
    assert line.endswith("); they are decoded anew by each process")


@pytest.fixture
def small_files() -> Iterator[None]:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_done_without_and_not_filled(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = Counted(tmp_path / "log")
    with caplog.at_level(logging.WARNING):
        found = load(dataset, size=100)
    assert decoded(dataset) == 1
    assert np.shape(found.inputs) == (12, 100, 100, 3)
    assert "cannot keep the decoded images" in caplog.text
    assert list(place.rglob("*.npy")) == []


def test_what_is_no_array_is_not_kept(tmp_path: Path) -> None:
    class Listed(Counted):
        def load(self, split: Split, image_size: int) -> Examples:
            examples = super().load(split, image_size)
            return Examples(list(np.asarray(examples.inputs)), examples.targets)

    assert len(load(Listed(tmp_path / "log")).inputs) == 12
    assert cache.entries() == []


@pytest.mark.parametrize("key", [None, "k"])
def test_an_unreadable_example_stops_the_run(tmp_path: Path, key: str | None) -> None:
    dataset = Counted(tmp_path / "log", "/x/1.png: an empty file", "/x/2.png: no", key=key)
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            load(dataset)
        assert str(caught.value) == (
            "/x/1.png: an empty file; 2 of 14 train examples cannot be read: mend or remove them, "
            "or leave them out with --skip-unreadable"
        )
    assert decoded(dataset) == (2 if key is None else 1)


def test_with_skip_the_rest_goes_on_and_is_told(tmp_path: Path) -> None:
    dataset = Counted(tmp_path / "log", "/x/1.png: an empty file", lost=3)
    examples = load(dataset, skip=True)
    assert len(examples.inputs) == 9
    assert left_out(dataset, "train", examples) == (
        "counted: 1 of 10 train examples cannot be read and are left out, the first: "
        "/x/1.png: an empty file"
    )
    whole = Counted(tmp_path / "log", key="whole")
    assert left_out(whole, "train", load(whole, skip=True)) is None


def test_a_class_that_loses_every_training_example_is_an_error(tmp_path: Path) -> None:
    dataset = Counted(tmp_path / "log", "/x/1.png: an empty file", lost=4)
    with pytest.raises(UnavailableError) as caught:
        load(dataset, skip=True)
    assert str(caught.value) == (
        "counted: no training example of class 'c' can be read; the first of 1 that cannot be "
        "read: /x/1.png: an empty file"
    )
    assert len(load(dataset, "test", skip=True).inputs) == 8


def test_a_split_that_loses_everything_is_an_error(tmp_path: Path) -> None:
    dataset = Counted(tmp_path / "log", "/x/1.png: an empty file", lost=12)
    with pytest.raises(UnavailableError) as caught:
        load(dataset, "test", skip=True)
    assert str(caught.value) == (
        "counted: no test example can be read; the first of 1 that cannot be read: "
        "/x/1.png: an empty file"
    )


def test_a_data_set_that_is_not_here_stays_so(tmp_path: Path) -> None:
    class Gone(Counted):
        def load(self, split: Split, image_size: int) -> Examples:
            raise UnavailableError("gone")

    with pytest.raises(UnavailableError, match="gone"):
        load(Gone(tmp_path / "log"))
    assert os.listdir(tmp_path / "cache/arrays")  # noqa: PTH208 - only what is hidden is left
    assert cache.entries() == []


def test_decoding_that_takes_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = Counted(tmp_path / "log")
    with caplog.at_level(logging.WARNING):
        load(dataset)
        assert caplog.messages == []
        monkeypatch.setattr(loading, "_PATIENCE_SECONDS", 0.001)
        load(dataset, size=9)
    assert caplog.messages == [
        (
            "decoding the images of counted (train, 9 pixels); the next run on them finds "
            "them in the cache"
        )
    ]
