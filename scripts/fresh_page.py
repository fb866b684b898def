"""A page of docs/ that a script writes, and whose freshness a test checks."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(target: Path, text: str) -> int:
    """Write a page, or with --check say whether it is fresh; return the exit code."""
    if "--check" in sys.argv[1:]:
        fresh = target.read_text(encoding="utf-8") == text
        print("fresh" if fresh else f"{target} is stale: python scripts/{Path(sys.argv[0]).name}")
        return 0 if fresh else 1
    target.write_text(text, encoding="utf-8")
    print(f"wrote {target}")
    return 0
