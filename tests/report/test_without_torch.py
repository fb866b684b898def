"""Verdicts, tables and comparisons are made from the store alone: torch is never imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = '''
class NoTorch:
    """A finder that answers before every other. (None in sys.modules would confuse scipy.)"""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "torchvision", "sklearn"):
            raise ImportError(f"{name} must not be imported")


import sys

sys.meta_path.insert(0, NoTorch())
'''
TABLE = """
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
"""
COMPARE = f"""
import json

from sftbench import Results
from sftbench.report.contrast_document import document
from sftbench.report.contrast_text import plain_contrast

found = Results({str(ROOT / "results" / "reference-cpu")!r}).compare(
    "full", "head-only", variant="balanced"
)
print(plain_contrast(found))
print(json.dumps(document(found)))
"""


def run(script: str) -> str:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_table_is_made_where_torch_cannot_be_imported() -> None:
    assert run(WITHOUT + TABLE).strip() == "success True True"


def test_a_comparison_without_torch_is_the_same_to_the_last_digit() -> None:
    bare = run(WITHOUT + COMPARE)
    assert "full is better than head-only: accuracy +.043" in bare
    assert '"p_adjusted": 0.046875' in bare
    assert bare == run("import torch\n" + COMPARE)
