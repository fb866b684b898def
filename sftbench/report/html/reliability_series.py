"""What was measured of the selected weights besides the task's metrics, as numbers to draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sftbench.measures import OOD
from sftbench.records import Record

# The score that the reason OOD_DISTORTION reads.
SCORE = "max_softmax"
_OWN = frozenset({"train", "val", "test"})
_CORRUPTED = "corrupted:"
_FOREIGN = f"{OOD}:"
_BLOCK = "cka_"
_BLOCKS_MEAN = "cka_mean"


@dataclass(frozen=True, slots=True)
class Spread:
    """A number over seeds: mean, lowest, highest."""

    mean: float
    low: float
    high: float
    num_seeds: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the seeds that have a value; None where none has."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return Spread(float(np.mean(found)), min(found), max(found), len(found))


def by_severity(records: Sequence[Record]) -> list[Spread]:
    """Return accuracy on clean images and at severities 1, 2, ...: mean over kinds of corruption.

    Empty where corrupted images were not asked for.
    """
    kinds_at: dict[int, list[str]] = {}
    for kind, severity in corruptions(records):
        kinds_at.setdefault(severity, []).append(kind)
    if not kinds_at:
        return []
    found = [spread(one.value("accuracy") for one in records)]
    for severity, kinds in sorted(kinds_at.items()):
        found.append(spread(_mean(one, kinds, severity) for one in records))
    return [one for one in found if one is not None]


def corruptions(records: Sequence[Record]) -> list[tuple[str, int]]:
    """Return kinds of corruption with their severities, as the records have them."""
    splits = dict.fromkeys(split for one in records for split in one.metrics.get("selected", {}))
    parts = [split.split(":") for split in splits if split.startswith(_CORRUPTED)]
    return [(part[1], int(part[2])) for part in parts if len(part) == 3 and part[2].isdecimal()]


def corrupted(records: Sequence[Record], kind: str, severity: int) -> Spread | None:
    """Return accuracy under one corruption."""
    return spread(one.value("accuracy", f"{_CORRUPTED}{kind}:{severity}") for one in records)


def foreign(records: Sequence[Record]) -> dict[str, Spread]:
    """Return the AUROC by which images of each foreign data set are told apart."""
    splits = sorted({s for one in records for s in one.metrics.get("selected", {})})
    found = {
        split.removeprefix(_FOREIGN): spread(one.value(f"auroc_{SCORE}", split) for one in records)
        for split in splits
        if split.startswith(_FOREIGN)
    }
    return {name: one for name, one in found.items() if one is not None}


def drift(records: Sequence[Record]) -> dict[str, Spread]:
    """Return each block's likeness (CKA) to what it was before training, first block first."""
    names = dict.fromkeys(
        name for one in records for name in one.metrics.get("selected", {}).get("drift", {})
    )
    found = {
        name.removeprefix(_BLOCK): spread(one.value(name, "drift") for one in records)
        for name in names
        if name.startswith(_BLOCK) and name != _BLOCKS_MEAN
    }
    return {name: one for name, one in found.items() if one is not None}


def beside(records: Sequence[Record]) -> dict[str, Spread]:
    """Return all else that was measured, by a name for people: `corrupted: ratio`.

    Without single corruptions and blocks, and of scores for foreign data the one that counts.
    """
    found: dict[str, list[float | None]] = {}
    for one in records:
        for split, values in one.metrics.get("selected", {}).items():
            for name, value in _counted(split, values).items():
                found.setdefault(name, []).append(value)
        for name, value in one.measures.items():
            found.setdefault(name, []).append(value)
    spreads = {name: spread(values) for name, values in found.items()}
    return {name: one for name, one in spreads.items() if one is not None}


def _counted(split: str, values: Mapping[str, float | None]) -> dict[str, float | None]:
    if split in _OWN or split.startswith(_CORRUPTED):
        return {}
    names = [name for name in values if name == _BLOCKS_MEAN or not name.startswith(_BLOCK)]
    if split.startswith(_FOREIGN):
        names = [name for name in names if name.endswith(f"_{SCORE}")]
    return {f"{split}: {name.replace('_', ' ')}": values[name] for name in names}


def _mean(record: Record, kinds: Sequence[str], severity: int) -> float | None:
    values = [record.value("accuracy", f"{_CORRUPTED}{kind}:{severity}") for kind in kinds]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(kinds) else None
