"""What `sftbench show` prints of names that come from outside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sftbench.cli import main as command_line


def test_names_of_folders_do_not_reach_the_terminal_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        for name in ("\x1b[31mred", "b\u202ec"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            (folder / "1.png").touch()
    monkeypatch.setattr(sys, "argv", ["sftbench", "show", "dataset", f"folder:{tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        command_line()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (3, "")
    assert "\\x1b[31mred" in err
    assert {char for char in err if not char.isprintable()} == {"\n"}
