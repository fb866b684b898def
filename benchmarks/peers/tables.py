"""The results as text of at most 100 columns, as Markdown, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.peers.items import Comparison
from benchmarks.peers.ratios import Round, Spread, spread
from benchmarks.peers.rounds import Played
from benchmarks.peers.targets import Row

WIDTH = 100
_LOSSES = "first, last"


def item_table(played: Played) -> list[list[str]]:
    """Return the lines of an item: who, images per second, sftbench's speed against it, losses."""
    lines = [["", "images/s", "seconds", "sftbench against it", "loss: first, last", "steps"]]
    against = {c.by: spread(c, played.rounds) for c in played.item.comparisons}
    for entry in played.item.entries:
        label = entry.label
        if label in played.skipped:
            lines.append([label, f"skipped: {played.skipped[label]}", "", "", "", ""])
            continue
        totals = [totals[label] for totals in played.rounds if label in totals]
        outcomes = played.outcomes[label]
        last = outcomes[-1]
        lines.append(
            [
                label,
                str(Spread.of([total.rate for total in totals])),
                str(Spread.of([total.seconds for total in totals])),
                str(against.get(label) or "") if _is_speed(played, label) else "",
                f"{last.first_loss:.2f}, {last.final_loss:.2f}",
                str(last.steps),
            ]
        )
    return lines


def _is_speed(played: Played, label: str) -> bool:
    return any(c.by == label and c.measure == "speed" for c in played.item.comparisons)


def target_table(rows: Sequence[Row]) -> list[list[str]]:
    """Return the lines of "To reach"."""
    head = ["to reach", "CPU", "CUDA", "measured", ""]
    return [head, *([row.text, row.cpu, row.cuda, row.measured, row.verdict] for row in rows)]


def as_text(lines: Sequence[Sequence[str]]) -> str:
    """Lay out a table in columns; what does not fit is cut."""
    cells = [list(line) for line in lines]
    wide = [line for line in cells if not _is_note(line)]
    widths = [max(len(line[column]) for line in wide) for column in range(len(cells[0]))]
    shown = []
    for line in cells:
        if _is_note(line):
            shown.append(f"{line[0].ljust(widths[0])}  {line[1]}"[:WIDTH])
            continue
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        shown.append("  ".join(padded).rstrip()[:WIDTH])
    return "\n".join(shown)


def _is_note(line: Sequence[str]) -> bool:
    return len(line) > 2 and bool(line[1]) and not any(line[2:])


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lay out a table in Markdown."""
    head, *rest = [f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])


def title(played: Played) -> str:
    """Return the heading of an item."""
    return textwrap.fill(f"{played.item.key}  {played.item.title}", WIDTH, subsequent_indent="   ")


def as_json(played: Played) -> dict[str, Any]:
    """Return everything that an item gave."""
    return {
        "title": played.item.title,
        "rounds": [_round(totals) for totals in played.rounds],
        "ratios": [
            {**asdict(comparison), "spread": asdict(found)}
            for comparison in played.item.comparisons
            if (found := spread(comparison, played.rounds))
        ],
        "outcomes": {
            label: [asdict(outcome) for outcome in outcomes]
            for label, outcomes in played.outcomes.items()
        },
        "works": {
            entry.label: [{"times": part.times, **asdict(part.work)} for part in entry.parts]
            for entry in played.item.entries
        },
        "loader_workers_tried": played.workers,
        "skipped": played.skipped,
    }


def _round(totals: Round) -> Mapping[str, Any]:
    return {label: asdict(total) for label, total in totals.items()}


def measured(played: Played) -> dict[str, Spread]:
    """Return the spreads of the rows of "To reach" that an item measures."""

    def of(comparison: Comparison) -> Spread | None:
        return spread(comparison, played.rounds) if comparison.row else None

    return {c.row: found for c in played.item.comparisons if (found := of(c))}
