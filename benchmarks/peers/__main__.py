"""`python -m benchmarks.peers`: the same work, round by round, through sftbench and its peers."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.peers import tables
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.items import FULL, QUICK, Items
from benchmarks.peers.ratios import Spread, spread
from benchmarks.peers.rounds import play
from benchmarks.peers.start_up import CLICK, HELP, start_ups
from benchmarks.peers.targets import rows
from benchmarks.peers.team import ROOT, ContestantError, Team, team
from sftbench.errors import SftbenchError
from sftbench.provenance import git, hardware

_WORKS = "abcdefgh"
_LIBRARIES = ("sftbench", "torch", "torchvision", "timm", "numpy", "pillow")
_MORE_LIBRARIES = ("lightning", "transformers", "accelerate", "fastai")


@dataclass(slots=True)
class Findings:
    """What a run gathers."""

    items: dict[str, Any] = field(default_factory=dict)
    sections: list[tuple[str, list[list[str]]]] = field(default_factory=list)
    measured: dict[str, Spread] = field(default_factory=dict)
    elsewhere: list[float] = field(default_factory=list)


@click.command()
@click.option("--work", default=",".join(_WORKS), help="Letters of the items.", show_default=True)
@click.option("--peers", default=",".join(CONTESTANTS), help="Who takes part; sftbench always.")
@click.option("--rounds", default=3, type=click.IntRange(1), show_default=True)
@click.option("--quick", is_flag=True, help="One round of tiny works: shows that all of it runs.")
@click.option("--device", default="cpu", type=click.Choice(["cpu", "cuda"]), show_default=True)
@click.option("--precision", default="fp32", type=click.Choice(["fp32", "bf16", "auto"]),
              help="Of sftbench; item b has auto.", show_default=True)  # fmt: skip
@click.option("--out", default=ROOT / "benchmarks" / "results", type=click.Path(path_type=Path))
def main(
    *, work: str, peers: str, rounds: int, quick: bool, device: str, precision: str, out: Path
) -> None:
    """Measure, print tables of ratios, and write JSON and Markdown."""
    letters, names = _chosen(work, tuple(_WORKS)), _chosen(peers, tuple(CONTESTANTS))
    no_cuda = _no_cuda()
    if device == "cuda" and no_cuda:
        raise click.UsageError(f"--device cuda: {no_cuda}")
    if quick:
        rounds = 1
    scale = QUICK if quick else FULL
    found, start = Findings(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sftbench-peers-") as folder:
        items = Items(Path(folder), scale, device, precision)
        with team(Path(folder)) as crew:
            for letter in letters:
                if letter == "e":
                    _passes(items, crew, found)
                elif letter == "h":
                    _start_up(scale.start_ups, found)
                else:
                    _item(letter, items, crew, found, scale.trial_batches, rounds, names)
    settings = {
        "works": letters,
        "contestants": names,
        "rounds": rounds,
        "quick": quick,
        "device": device,
        "precision": precision,
        "minutes": (time.perf_counter() - start) / 60,
    }
    _finish(found, settings, out, no_cuda)


def _chosen(text: str, known: tuple[str, ...]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if word not in known]
    if wrong or not words:
        raise click.UsageError(f"{', '.join(wrong) or 'nothing'}: choose from {', '.join(known)}")
    # sftbench takes part in every item: it is what the others are compared with.
    return [word for word in known if word in words or word == "sftbench"]


def _no_cuda() -> str | None:
    import torch

    if torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} sees no CUDA device here"


def _item(
    letter: str,
    items: Items,
    crew: Team,
    found: Findings,
    trial_batches: int,
    rounds: int,
    names: list[str],
) -> None:
    try:
        item = items.make(letter)
    except SftbenchError as error:
        raise click.ClickException(
            f"{error}; CIFAR-10 comes with: sftbench data fetch cifar10"
        ) from error
    _say(f"{letter}  {item.title}")
    played = play(item, crew, num_rounds=rounds, trial_batches=trial_batches, only=names, say=_say)
    found.items[letter] = tables.as_json(played)
    found.sections.append((tables.title(played), tables.item_table(played)))
    found.measured |= tables.measured(played)
    found.elsewhere += [
        outcome.notes["busy_elsewhere"]
        for outcomes in played.outcomes.values()
        for outcome in outcomes
    ]


def _passes(items: Items, crew: Team, found: Findings) -> None:
    """Count the images that enter the backbone for a second strategy on the same features."""
    later, [both] = items.passes()
    try:
        first, second = crew.ask("sftbench", "backbone_passes", [asdict(work) for work in later])
        [together] = crew.ask("sftbench", "backbone_passes", [asdict(both)])
    except ContestantError as error:
        found.items["e"] = {"skipped": str(error)}
        return
    more = {"in a later run": second, "in the same run": together - first}
    found.items["e"] = {"first": first, **more}
    table = [["images through the backbone", ""], ["the first head-only strategy", str(first)]]
    table += [[f"a second one, {where}", str(count)] for where, count in more.items()]
    found.sections.append(("e  a second head-only strategy on cached features", table))
    worst = float(max(more.values()))
    found.measured["passes"] = Spread(worst, worst, worst)


def _start_up(count: int, found: Findings) -> None:
    from benchmarks.peers.items import Comparison

    rounds = start_ups(count)
    help_by_click = spread(Comparison("help", HELP, CLICK, "time"), rounds)
    found.items["h"] = {
        "rounds": [{k: asdict(total) for k, total in totals.items()} for totals in rounds]
    }
    table = [["", "seconds"]]
    table += [[w, str(Spread.of([r[w].seconds for r in rounds]))] for w in (HELP, CLICK)]
    found.sections.append(("h  start-up of the command line", table))
    if help_by_click:
        found.measured["help"] = help_by_click


def _finish(found: Findings, settings: dict[str, Any], out: Path, no_cuda: str | None) -> None:
    """Print the tables and write the files."""
    device, quick = settings["device"], settings["quick"]
    to_reach = rows(found.measured, device, quick=quick)
    machine = hardware("cuda:0" if device == "cuda" else "cpu")
    notes = _notes(machine, settings, no_cuda)
    if found.elsewhere:
        busy = Spread.of(found.elsewhere)
        notes.append(f"other processes kept busy, of {machine['cores']} cores: {busy}")
    for title, table in found.sections:
        print(f"\n{title}\n{tables.as_text(table)}")
    print(f"\n{tables.as_text(tables.target_table(to_reach))}\n")
    print("\n".join(notes))
    out.mkdir(parents=True, exist_ok=True)
    letters = "".join(settings["works"])
    part = "" if letters == _WORKS else f"-{letters}"
    name = f"peers-{device}{part}{'-quick' if quick else ''}"
    content = {
        "hardware": machine,
        "libraries": _versions(),
        "git": git(),
        "settings": settings,
        "items": found.items,
        "to_reach": [asdict(row) for row in to_reach],
        "cuda": no_cuda or "here",
    }
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    sections = [("To reach", tables.target_table(to_reach)), *found.sections]
    body = "\n\n".join(f"## {' '.join(t.split())}\n\n{tables.as_markdown(r)}" for t, r in sections)
    lines = "\n".join(f"* {note}" for note in notes)
    (out / f"{name}.md").write_text(
        f"# sftbench beside its peers ({device})\n\n{lines}\n\n{body}\n"
    )
    _say(f"written: {out / name}.json and .md")


def _notes(machine: dict[str, Any], settings: dict[str, Any], no_cuda: str | None) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    where = f"{machine['processor']}, {machine['cores']} cores"
    if "accelerator" in machine:
        where += f", {machine['accelerator']}"
    notes = [
        f"{where}; {settings['rounds']} rounds in {settings['minutes']:.1f} minutes",
        versions,
        "median of the ratios of each round (least..most); docs/benchmarks.md says how",
    ]
    if settings["device"] == "cpu":
        notes.append(f"the CUDA column is not measured: {no_cuda or 'run with --device cuda'}")
    return notes


def _versions() -> dict[str, str]:
    found = {}
    for name in (*_LIBRARIES, *_MORE_LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
