"""What a run gathers, item by item, and the files that it leaves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.peers import tables
from benchmarks.peers.items import Comparison, Items
from benchmarks.peers.ratios import Spread, spread
from benchmarks.peers.rounds import Played
from benchmarks.peers.start_up import CLICK, HELP, start_ups
from benchmarks.peers.targets import Row, rows
from benchmarks.peers.team import ContestantError, Team
from sftbench.provenance import git, hardware, versions_of

WORKS: Final = "abcdefgh"
_LIBRARIES: Final = (
    "sftbench", "torch", "torchvision", "timm", "numpy", "pillow",
    "lightning", "transformers", "accelerate", "fastai",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run was asked for, and how long it took."""

    works: list[str]
    contestants: list[str]
    rounds: int
    quick: bool
    device: str
    precision: str
    no_cuda: str | None
    minutes: float = 0.0


@dataclass(slots=True)
class Findings:
    """Everything measured so far.

    Attributes:
        items: By letter, for JSON.
        sections: Title and table of each.
        measured: The rows of "To reach".
        elsewhere: Cores that others kept busy, at each training.
    """

    items: dict[str, Any] = field(default_factory=dict)
    sections: list[tuple[str, list[list[str]]]] = field(default_factory=list)
    measured: dict[str, Spread] = field(default_factory=dict)
    elsewhere: list[float] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """Take in an item that was run in rounds."""
        self.items[played.item.key] = tables.as_json(played)
        self.sections.append((tables.title(played), tables.item_table(played)))
        self.measured |= tables.measured(played)
        every = [one for outcomes in played.outcomes.values() for one in outcomes]
        self.elsewhere += [outcome.notes["busy_elsewhere"] for outcome in every]

    def add_passes(self, items: Items, team: Team) -> None:
        """Count the images that enter the backbone for a second strategy on the same features."""
        title = "e  a second head-only strategy on cached features"
        later, [both] = items.passes()
        try:
            first, second = team.ask("sftbench", "backbone_passes", [asdict(one) for one in later])
            [together] = team.ask("sftbench", "backbone_passes", [asdict(both)])
        except ContestantError as error:
            self.items["e"] = {"skipped": str(error)}
            self.sections.append((title, [["", "skipped"], ["sftbench", str(error)]]))
            return
        more = {"in a later run": second, "in the same run": together - first}
        self.items["e"] = {"first": first, **more}
        table = [["images through the backbone", ""], ["the first head-only strategy", str(first)]]
        table += [[f"a second one, {where}", str(count)] for where, count in more.items()]
        self.sections.append((title, table))
        worst = float(max(more.values()))
        self.measured["passes"] = Spread(worst, worst, worst)

    def add_start_ups(self, count: int) -> None:
        """Time the start of the command line."""
        done = start_ups(count)
        self.items["h"] = {
            "rounds": [{label: asdict(one) for label, one in totals.items()} for totals in done]
        }
        table = [["", "seconds"]]
        table += [
            [w, str(Spread.of([totals[w].seconds for totals in done]))] for w in (HELP, CLICK)
        ]
        self.sections.append(("h  start-up of the command line", table))
        found = spread(Comparison("help", HELP, CLICK, "time"), done)
        if found:
            self.measured["help"] = found


def write(found: Findings, settings: Settings, out: Path) -> tuple[str, Path]:
    """Write JSON and Markdown; return the tables as text, and the path without its ending."""
    machine = hardware("cuda:0" if settings.device == "cuda" else "cpu")
    to_reach = rows(found.measured, settings.device, quick=settings.quick)
    notes = _notes(machine, found, settings)
    letters = "".join(settings.works)
    part = "" if letters == WORKS else f"-{letters}"
    path = out / f"peers-{settings.device}{part}{'-quick' if settings.quick else ''}"
    content = {
        "hardware": machine,
        "libraries": versions_of(_LIBRARIES),
        "git": git(),
        "settings": asdict(settings),
        "items": found.items,
        "to_reach": [asdict(row) for row in to_reach],
    }
    out.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(_markdown(found, to_reach, notes), encoding="utf-8")
    return _text(found, to_reach, notes), path


def _text(found: Findings, to_reach: list[Row], notes: list[str]) -> str:
    parts = [f"{title}\n{tables.as_text(table)}" for title, table in found.sections]
    parts.append(tables.as_text(tables.target_table(to_reach)))
    parts.append("\n".join(notes))
    return "\n\n".join(parts)


def _markdown(found: Findings, to_reach: list[Row], notes: list[str]) -> str:
    sections = [("To reach", tables.target_table(to_reach)), *found.sections]
    body = [f"## {' '.join(title.split())}\n\n{tables.as_markdown(t)}" for title, t in sections]
    head = "# sftbench beside its peers\n\n" + "\n".join(f"* {note}" for note in notes)
    return "\n\n".join([head, *body]) + "\n"


def _notes(machine: dict[str, Any], found: Findings, settings: Settings) -> list[str]:
    where = f"{machine['processor']}, {machine['cores']} cores"
    if "accelerator" in machine:
        where += f", {machine['accelerator']}"
    versions = list(versions_of(_LIBRARIES).items())
    asked = f"{settings.rounds} rounds in {settings.minutes:.1f} minutes on the {settings.device}"
    notes = [
        f"{where}; {asked}; sftbench in {settings.precision}, in b auto",
        ", ".join(f"{name} {version}" for name, version in versions[:6]),
        ", ".join(f"{name} {version}" for name, version in versions[6:]),
        "medians of the ratios of each round (least..most); docs/benchmarks.md says how",
    ]
    if found.elsewhere:
        busy = Spread.of(found.elsewhere)
        notes.append(f"cores that other processes kept busy meanwhile: {busy}")
    if settings.device == "cpu":
        why = settings.no_cuda or "run with --device cuda"
        notes.append(f"the CUDA column is not measured: {why}")
    return notes
