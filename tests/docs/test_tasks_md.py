"""The page on tasks: its package is installed, checked, run and tested as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tutorial import blocks_of, check_console, install, run_tests

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = (REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_task_of_the_page_works(tmp_path: Path) -> None:
    folder, site = tmp_path / "tags", tmp_path / "site"
    folder.mkdir()
    done: list[str] = []
    blocks = blocks_of(PAGE)
    for block in blocks:
        if block.file:
            (folder / block.file).write_text(block.text)
    install(folder, site)
    for block in blocks:
        if block.language == "console":
            check_console(block.text, folder, site)
            done.append("console")
        elif block.file and block.file.startswith("test_"):
            run_tests(block.file, folder, site)
            done.append(block.file)
    assert done == ["console", "test_tags.py"]
