"""A tiny BERT for all tests: built from a configuration, with a tokenizer trained here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path

from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own, and no hub."""
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path / "none"))


@pytest.fixture
def catalog() -> Catalog:
    """The built-ins and this plugin, installed or not."""
    from tiny_bert import POINTS

    return build_catalog(POINTS, chosen="sftbench-text")


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves a model: configuration, tokenizer and weights."""
    from tiny_bert import save_tiny_bert

    return save_tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")
