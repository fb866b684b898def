"""Verdicts and tables are made from records alone: torch is never imported."""

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
from support.tables import ExactScoring, plan, results

from sftbench.report.aggregate import aggregate
from sftbench.report.flat import rows
from sftbench.report.markdown import render_markdown
from sftbench.report.terminal import plain_text

table = aggregate(
    [plan(["head-only", "full"])],
    results({"head-only": [0.5] * 7, "full": [0.6] * 7}),
    ExactScoring(num_examples=200),
)
print(rows(table)[0]["verdict"], len(render_markdown(table)) > 500, len(plain_text(table)) > 500)
'''


def test_a_table_is_made_where_torch_cannot_be_imported() -> None:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(root / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "success True True"), done.stderr
