"""docs/notebook.ipynb runs, and shows what it shows in the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_notebook_runs_and_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "run_notebook.py"), "--check"],
        cwd=ROOT,
        env={**os.environ, "SFTBENCH_PLUGINS": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stdout == "fresh\n", done.stdout + done.stderr
