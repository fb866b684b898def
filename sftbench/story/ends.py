"""Cells that did not end well: how they ended, and what was known of them by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sftbench.names import one_line
from sftbench.records import Record

_LAST_LINES = 8
_LINE_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class End:
    """One cell that has no result.

    Attributes:
        seed: Of the cell.
        cell_id: Of the cell.
        status: How it ended.
        attempts: How often it was tried.
        what: Type and message of the error, as one line.
        last_lines: Of the traceback, the last ones; empty without one.
        known: What was known by then, in words: how far it was, the best validation, memory.
    """

    seed: int
    cell_id: str
    status: str
    attempts: int
    what: str
    last_lines: tuple[str, ...]
    known: tuple[str, ...]


def ends_of(records: Mapping[int, Record], attempts: Mapping[str, int]) -> tuple[End, ...]:
    """Return the cells that did not end well, by seed.

    Args:
        records: By seed, of whatever end.
        attempts: Of each cell, by its id.
    """
    return tuple(
        End(
            seed=seed,
            cell_id=record.cell_id,
            status=record.status,
            attempts=attempts.get(record.cell_id, record.attempt),
            what=_what(record),
            last_lines=_last_lines(record),
            known=tuple(_known(record)),
        )
        for seed, record in records.items()
        if record.status != "ok"
    )


def _what(record: Record) -> str:
    if record.error is None:
        return "no message"
    return one_line(f"{record.error.type}: {record.error.message}")


def _last_lines(record: Record) -> tuple[str, ...]:
    if record.error is None:
        return ()
    lines = [line for line in record.error.traceback.splitlines() if line.strip()]
    # A frame's own line stands under its file, indented.
    return tuple(
        " " * (len(line) - len(line.lstrip(" "))) + one_line(line, _LINE_CHARACTERS)
        for line in lines[-_LAST_LINES:]
    )


def _known(record: Record) -> list[str]:
    """Return what a record says of a cell that did not end well."""
    parts = []
    if record.history:
        last = record.history[-1]
        loss = "" if last.train_loss is None else f", train loss {last.train_loss:.3g}"
        stage = one_line(last.stage, 60)
        parts.append(
            f"last seen at epoch {last.epoch:.3g} of stage {stage}, step {last.step}{loss}"
        )
    else:
        parts.append("nothing of its training was noted")
    best = [row.val_metric for row in record.history if row.val_metric is not None]
    if best:
        parts.append(f"metric on validation from {min(best):.3f} to {max(best):.3f}")
    if record.timing.total_seconds > 0:
        parts.append(f"{record.timing.total_seconds:.3g} s of work")
    peak = record.memory.peak_device_bytes or record.memory.peak_rss_bytes
    if peak:
        where = "process" if record.memory.peak_device_bytes is None else "device"
        parts.append(f"peak {peak / 1e6:.0f} MB of the {where}")
    if record.counts.train_examples:
        parts.append(f"{record.counts.train_examples} training examples")
    return parts
