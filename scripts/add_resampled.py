"""Add what verdicts need of predictions to stores that were written before it was kept.

    python scripts/add_resampled.py results/*-cpu

Needs the packages of the stores' tasks. Records and predictions stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sftbench.discovery import build_catalog
from sftbench.scoring import StoreScoring
from sftbench.store import Store


def add(folder: Path) -> tuple[int, int]:
    """Return how many records with predictions got the file, and how many cannot."""
    store = Store(folder)
    scoring = StoreScoring(store, build_catalog())
    added, unknown = 0, 0
    for record in store.scan().records.values():
        if record.predictions is None or store.resampled(record) is not None:
            continue
        found = scoring.resampled_of(record)
        if found is None:
            unknown += 1
        else:
            store.add_resampled(record, found)
            added += 1
    return added, unknown


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        added, unknown = add(Path(name))
        print(f"{name}: {added} added" + (f", {unknown} without their task" if unknown else ""))
