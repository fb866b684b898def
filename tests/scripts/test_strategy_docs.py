"""docs/strategies.md is what the catalogue and the records say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_fresh() -> None:
    script = str(ROOT / "scripts" / "build_strategy_docs.py")
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "fresh"), done.stdout + done.stderr
