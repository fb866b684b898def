from __future__ import annotations

from pathlib import Path

import pytest
from support.stories import write_story_store

from sftbench.results import Results
from sftbench.story.tell import Story


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups of three seeds, with known confusions."""
    path = tmp_path_factory.mktemp("story")
    write_story_store(path)
    return path


@pytest.fixture(scope="session")
def story(store: Path) -> Story:
    return Results(store).story("full")
