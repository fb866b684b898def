"""Runs an item: warm everybody up, try loaders, then round by round, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.peers.contestants import PEERS
from benchmarks.peers.items import Entry, Item, Part
from benchmarks.peers.ratios import Total
from benchmarks.peers.team import ContestantError, Team
from benchmarks.peers.work import Outcome, Work

Say = Callable[[str], None]
_WORKERS = (0, 1, 2, 4)


@dataclass(slots=True)
class Played:
    """What an item gave.

    Attributes:
        item: The item.
        rounds: Of each round, seconds and images by the entry's label.
        outcomes: Of each entry, every outcome of its last part, in order.
        workers: Of each peer and kind of work, images per second by number of loader workers.
        skipped: Why an entry is missing.
    """

    item: Item
    rounds: list[dict[str, Total]] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    workers: dict[str, dict[int, float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def play(
    item: Item,
    team: Team,
    *,
    num_rounds: int,
    repeats: int,
    trial_batches: int,
    only: Sequence[str],
    say: Say,
) -> Played:
    """Run an item.

    Args:
        item: The item.
        team: Who runs it.
        num_rounds: How many.
        repeats: How often a part that stands for several is run in a round.
        trial_batches: Batches of a trial of the loaders; 0: no trial, no loader workers.
        only: Contestants to run; the others are skipped.
        say: Told what is going on.
    """
    played = Played(item)
    entries = []
    for entry in item.entries:
        if entry.contestant not in only:
            played.skipped[entry.label] = "not asked for"
            continue
        try:
            entries.append(_ready(entry, team, played, trial_batches, say))
        except ContestantError as error:
            played.skipped[entry.label] = str(error)
            say(f"  {entry.label} is skipped: {error}")
    for number in range(num_rounds):
        totals: dict[str, Total] = {}
        # Every other round goes backwards, so that a machine that slows down slows all alike.
        for entry in entries if number % 2 == 0 else entries[::-1]:
            if entry.label in played.skipped:
                continue
            try:
                totals[entry.label] = _total(entry, team, played, repeats)
            except ContestantError as error:
                played.skipped[entry.label] = str(error)
                say(f"  {entry.label} failed: {error}")
        shown = "  ".join(f"{label} {total.rate:.1f}" for label, total in totals.items())
        say(f"  round {number + 1}, images/s: {shown}")
        played.rounds.append(totals)
    return played


def _ready(entry: Entry, team: Team, played: Played, trial_batches: int, say: Say) -> Entry:
    """Make sure of the starting weights, warm a contestant up, and choose its loader workers."""
    first = entry.parts[0].work
    if not Path(first.start).exists():
        team.ask("sftbench", "write_start", asdict(first))
    team.run(entry.contestant, first.short(2))
    if entry.contestant not in PEERS or trial_batches == 0:
        return entry
    best: dict[str, int] = {}
    for kind in dict.fromkeys(part.work.kind for part in entry.parts):
        work = next(part.work for part in entry.parts if part.work.kind == kind)
        tried = _try_workers(entry.contestant, work.short(trial_batches), team)
        played.workers[f"{entry.label}, {kind}"] = tried
        best[kind] = max(tried, key=lambda count: tried[count])
        shown = ", ".join(f"{count}: {rate:.1f}" for count, rate in tried.items())
        say(f"  {entry.label}, {kind}: {best[kind]} loader workers (images/s {shown})")
    parts = tuple(
        Part(replace(part.work, num_workers=best[part.work.kind]), part.times)
        for part in entry.parts
    )
    return Entry(entry.label, entry.contestant, parts)


def _try_workers(name: str, work: Work, team: Team) -> dict[int, float]:
    tried: dict[int, float] = {}
    for count in _WORKERS:
        outcome = team.run(name, replace(work, num_workers=count))
        tried[count] = outcome.images / outcome.seconds
    return tried


def _total(entry: Entry, team: Team, played: Played, repeats: int) -> Total:
    """Run every part of an entry, and add up what the parts stand for."""
    seconds, images = 0.0, 0
    for part in entry.parts:
        count = 1 if part.times == 1 else repeats
        done = [team.run(entry.contestant, part.work) for _ in range(count)]
        seconds += part.times * sum(outcome.seconds for outcome in done) / count
        images += part.times * done[-1].images
        played.outcomes.setdefault(entry.label, []).extend(done)
    return Total(seconds, images)
