"""Text, page and pictures are made from the store alone, where torch cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = '''
import sys


class NoTorch:
    """A finder that answers before every other. (None in sys.modules would confuse scipy.)"""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "torchvision", "sklearn"):
            raise ImportError(f"{name} must not be imported")


sys.meta_path.insert(0, NoTorch())
from sftbench.cli import main

main()
'''


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, "explain", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_story_is_told_where_torch_cannot_be_imported(store: Path, tmp_path: Path) -> None:
    told = call(str(store), "full")
    assert (told.returncode, told.stderr) == (0, "")
    assert "5 errors among 21 answers of 3 seeds" in told.stdout
    assert "temperature 2.19 (1.61 to 2.49)" in told.stdout
    page = tmp_path / "story.html"
    written = call(str(store), "full", "-o", str(page))
    assert (written.returncode, written.stderr) == (0, f"wrote {page}\n")
    assert page.read_text(encoding="utf-8").count("data:image/png;base64,") == 3
