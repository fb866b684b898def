"""`python -m benchmarks.peers`: the same work, round by round, through sftbench and its peers."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.findings import WORKS, Findings, Settings, write
from benchmarks.peers.images import make_folder
from benchmarks.peers.items import FULL, QUICK, Items, Scale
from benchmarks.peers.rounds import play
from benchmarks.peers.team import ROOT, Team, team
from sftbench.errors import SftbenchError

_OUT = ROOT / "benchmarks" / "results"
_OFTEN = ("article", "sftbench")  # the others take part in an item or two
_PRECISIONS = click.Choice(["fp32", "bf16", "auto"])


@click.command()
@click.option("--work", default=",".join(WORKS), show_default=True, help="Letters of the items.")
@click.option("--peers", default=",".join(CONTESTANTS), help="Who takes part; sftbench always.")
@click.option("--rounds", default=3, type=click.IntRange(1, 100), show_default=True)
@click.option("--quick", is_flag=True, help="One round of tiny works: shows that all of it runs.")
@click.option("--device", default="cpu", type=click.Choice(["cpu", "cuda"]), show_default=True)
@click.option("--precision", default="fp32", type=_PRECISIONS, help="Of sftbench; b has auto.")
@click.option("--out", default=_OUT, type=click.Path(path_type=Path, file_okay=False))
def main(
    *, work: str, peers: str, rounds: int, quick: bool, device: str, precision: str, out: Path
) -> None:
    """Measure, print tables of ratios, and write JSON and Markdown (docs/benchmarks.md)."""
    settings = Settings(
        works=_chosen(work, tuple(WORKS)),
        # sftbench takes part in every item: it is what the others are compared with.
        contestants=_chosen(f"{peers},sftbench", tuple(CONTESTANTS)),
        rounds=1 if quick else rounds,
        quick=quick,
        device=device,
        precision=precision,
        no_cuda=_no_cuda(),
    )
    if device == "cuda" and settings.no_cuda:
        raise click.UsageError(f"--device cuda: {settings.no_cuda}")
    found, start = Findings(), time.perf_counter()
    scale = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="sftbench-peers-") as folder:
        try:
            make_folder(Path(folder), scale.images)
        except SftbenchError as error:
            hint = "CIFAR-10 comes with: sftbench data fetch cifar10"
            raise click.ClickException(f"{error}; {hint}") from error
        items = Items(Path(folder), scale, device, precision)
        with team(Path(folder)) as crew:
            try:
                for letter in settings.works:
                    _measure(letter, items, crew, found, scale, settings)
            except KeyboardInterrupt:
                _say("stopped; what was measured so far is kept")
    minutes = (time.perf_counter() - start) / 60
    text, path = write(found, replace(settings, minutes=minutes), out)
    print(text)
    _say(f"written: {path}.json and .md")


def _chosen(text: str, known: tuple[str, ...]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if word not in known]
    if wrong or not words:
        raise click.UsageError(f"{', '.join(wrong) or 'nothing'}: choose from {', '.join(known)}")
    return [word for word in known if word in words]


def _no_cuda() -> str | None:
    import torch

    if torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} sees no CUDA device here"


def _measure(
    letter: str, items: Items, crew: Team, found: Findings, scale: Scale, settings: Settings
) -> None:
    """Run one item and take it in."""
    if letter == "e":
        _say("e  a second head-only strategy on cached features")
        found.add_passes(items, crew)
        return
    if letter == "h":
        _say("h  start-up of the command line")
        found.add_start_ups(scale.start_ups)
        return
    item = items.make(letter)
    _say(f"{letter}  {item.title}")
    found.add(
        play(
            item,
            crew,
            num_rounds=settings.rounds,
            repeats=2 if settings.rounds == 1 and not settings.quick else 1,
            trial_batches=scale.trial_batches,
            only=settings.contestants,
            say=_say,
        )
    )
    crew.close(keep=_OFTEN)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
