"""What a leaderboard's pages are made of, as plain data: also what stands beside them as an API."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sftbench.leaderboard.groups import Board, Group, boards
from sftbench.leaderboard.reading import Collected
from sftbench.leaderboard.standings import Standings, rank_backbones, rank_methods
from sftbench.names import one_line
from sftbench.records import Status

_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,79}")
_TEXT_CHARACTERS = 2000
_ENDS: tuple[str, ...] = (*Status.__args__, "missing")  # type: ignore[attr-defined]
API_VERSION = 1


@dataclass(frozen=True, slots=True)
class Ranked:
    """A board with its rankings, and the rank and flat row of each group, made once."""

    board: Board
    methods: Standings
    backbones: Standings
    ranks: Mapping[int, int | None]
    rows: Mapping[int, dict[str, Any]]

    def rank_of(self, group: Group) -> int | None:
        """Return the rank of a group in its section, 1 is best; None where all were skipped."""
        return self.ranks[id(group)]


@dataclass(frozen=True, slots=True)
class Topic:
    """What a page is about, and the part of each board that belongs to it.

    Attributes:
        kind: `strategies`, `backbones`, `datasets` or `packages`; empty for the overview.
        name: Of the strategy, backbone ...
        groups: With the ranked board that each is of.
        rankings: Within the topic, by the board's name; those of the overview are the boards' own.
    """

    kind: str
    name: str
    groups: tuple[tuple[Ranked, Group], ...]
    rankings: Mapping[str, Standings] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of the page below the site, without ending."""
        return f"{self.kind}/{slug(self.name)}" if self.kind else "index"

    @property
    def up(self) -> str:
        """From the page's folder to the site's."""
        return "../" if self.kind else ""


def slug(name: str) -> str:
    """Return a file name for any text: equal names, equal slugs; others differ, whatever the disk.

    A name that is not plain lower case ends in a part of its SHA-256.
    """
    if _PLAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    plain = re.sub(r"[^a-z0-9]+", "-", name[:40].lower()).strip("-")
    return f"{plain or 'x'}-{digest}"


def title_of(board: Board) -> str:
    """Return the name of a board: task and metric."""
    return f"{board.task}: {board.measure.name if board.measure else 'no result yet'}"


def ranked(found: Collected) -> list[Ranked]:
    """Return every board with its rankings."""
    every = []
    for board in boards(found):
        ranks = _ranks(board)
        flat = {id(group): _row(board, group, ranks[id(group)]) for group in board.groups}
        every.append(Ranked(board, rank_methods(board), rank_backbones(board), ranks, flat))
    return every


def topics(every: Sequence[Ranked]) -> list[Topic]:
    """Return the overview, then a topic for each strategy, backbone, data set and package."""
    pairs = [(one, group) for one in every for group in one.board.groups]
    made = [Topic("", "", tuple(pairs), {title_of(one.board): one.methods for one in every})]
    parts: dict[tuple[str, str], list[tuple[Ranked, Group]]] = {}
    for pair in pairs:
        facts = pair[1].facts
        named = {("strategies", facts.strategy), ("backbones", facts.backbone)}
        named |= {("datasets", facts.dataset)}
        named |= {("packages", package_of(label)) for label in pair[1].packages.values()}
        for key in sorted(named):
            parts.setdefault(key, []).append(pair)
    for (kind, name), each in sorted(parts.items()):
        made.append(Topic(kind, name, tuple(each), _within(kind, every, each)))
    return made


def package_of(label: str) -> str:
    """Return the package of `sftbench-peft 0.1.0`."""
    return label.rpartition(" ")[0] or label


def rows(topic: Topic) -> list[dict[str, Any]]:
    """Return a topic's groups as flat rows; None where a number is missing. Nothing is rounded."""
    return [one.rows[id(group)] for one, group in topic.groups]


def document(topic: Topic, every: Sequence[Ranked]) -> dict[str, Any]:
    """Return what stands beside a page as JSON."""
    names = {id(one): title_of(one.board) for one in every}
    here = {id(one): one for one, _ in topic.groups}
    listed = []
    for one in here.values():
        measure, name = one.board.measure, names[id(one)]
        listed.append(
            {
                "task": one.board.task,
                "metric": measure.name if measure else None,
                "direction": measure.direction if measure else None,
                "standings": _standings(topic.rankings.get(name)),
                "backbones": _standings(one.backbones) if not topic.kind else None,
            }
        )
    return {
        "kind": "sftbench-leaderboard",
        "api_version": API_VERSION,
        "page": topic.path,
        "name": topic.name,
        "boards": listed,
        "rows": rows(topic),
    }


def _within(
    kind: str, every: Sequence[Ranked], pairs: Sequence[tuple[Ranked, Group]]
) -> dict[str, Standings]:
    """Return the rankings of methods over the sections of a data set or backbone."""
    if kind not in ("datasets", "backbones"):
        return {}
    found = {}
    for one in every:
        sections = dict.fromkeys(group.facts.section for of, group in pairs if of is one)
        if sections:
            found[title_of(one.board)] = rank_methods(one.board.within(sections))
    return found


def _ranks(board: Board) -> dict[int, int | None]:
    """Return the rank of each group in its section; those that lack a seed share the worst."""
    found: dict[int, int | None] = {}
    sign = board.measure.sign if board.measure else 1.0
    for groups in board.sections.values():
        shown = [one for one in groups.values() if one.num_skipped < one.num_expected]
        means = [sign * one.mean for one in shown if one.mean is not None]
        for one in groups.values():
            found[id(one)] = None
            if one.num_skipped == one.num_expected:
                continue
            mine = one.mean
            better = [mean for mean in means if mine is None or mean > sign * mine + 1e-12]
            found[id(one)] = len(shown) if mine is None else 1 + len(better)
    return found


def _row(board: Board, group: Group, rank: int | None) -> dict[str, Any]:
    facts, measure = group.facts, board.measure
    low, high = group.interval or (None, None)
    values: dict[str, Any] = {
        "task": facts.task,
        "metric": measure.name if measure else None,
        "direction": measure.direction if measure else None,
        "dataset": facts.dataset,
        "variant": facts.variant,
        "backbone": facts.backbone,
        "weights": facts.weights,
        "protocol": facts.protocol,
        "protocol_digest": facts.protocol_digest,
        "image_size": facts.image_size,
        "strategy": facts.strategy,
        "label": group.label,
        "options": facts.options,
        "algorithm_version": facts.version,
        "package": group.packages.get("strategy"),
        "rank": rank,
        "seeds_completed": len(group.values),
        "seeds_expected": group.num_expected,
        "mean": group.mean,
        "mean_over_completed": group.mean_completed,
        "mean_low_test_set": low,
        "mean_high_test_set": high,
        "seconds_per_cell": group.seconds,
        "trainable": group.trainable,
        **{f"ends_{end}": group.ends.get(end, 0) for end in _ENDS},
    }
    return {
        key: _printable(value) if isinstance(value, str) else value for key, value in values.items()
    }


@functools.lru_cache(maxsize=100_000)
def _printable(text: str) -> str:
    """Return a text as one printable line: many rows share few of them."""
    return one_line(text, _TEXT_CHARACTERS)


def _standings(found: Standings | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "units": found.num_units,
        "friedman_p": found.p,
        "critical_difference": found.critical_difference,
        "lines": [dataclasses.asdict(line) for line in found.lines],
    }
