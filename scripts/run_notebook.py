"""Run docs/notebook.ipynb and keep what it shows; with --check, only compare.

python scripts/run_notebook.py [--check]
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "notebook.ipynb"
_SECONDS = 300


def executed(notebook: Any) -> Any:
    """Return a notebook as it looks after a run in the folder docs/."""
    made = copy.deepcopy(notebook)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    where = {"metadata": {"path": str(TARGET.parent)}}
    NotebookClient(made, timeout=_SECONDS, resources=where).execute()
    made.metadata["language_info"] = {"name": "python"}  # not the version that ran it
    for cell in made.cells:
        cell.metadata = {}  # clock times
    return made


def texts(notebook: Any) -> list[str]:
    """Return the plain text of each output, without addresses of objects."""
    found = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    return [text.partition(" at 0x")[0] for text in found]


def main() -> int:
    """Run it."""
    kept = nbformat.read(TARGET, as_version=4)
    made = executed(kept)
    if "--check" in sys.argv[1:]:
        is_fresh = texts(made) == texts(kept)
        print("fresh" if is_fresh else "stale: python scripts/run_notebook.py")
        return 0 if is_fresh else 1
    nbformat.write(made, TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
