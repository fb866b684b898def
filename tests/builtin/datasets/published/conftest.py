"""Tests of published sets start where no data is, and write tiny ones in the true formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sftbench import cache
from sftbench.builtin.datasets.published.family import PublishedSet


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty folder, with an empty cache and an empty home."""
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SFTBENCH_DATA", raising=False)
    monkeypatch.setattr(cache, "_checked", set())
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def shrink(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a published set as small as what the test writes."""

    def make(cls: type[PublishedSet], num_train: int, num_test: int, **facts) -> PublishedSet:
        small = replace(
            cls.published, num_train=num_train, num_test=num_test, fingerprints={}, **facts
        )
        monkeypatch.setattr(cls, "published", small)
        return cls()

    return make
