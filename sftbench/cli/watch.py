"""`sftbench watch`: a run followed from another terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sftbench.records import Record
    from sftbench.watching import Look, Watcher

_MOST_LATEST = 5
_WIDTH = 100


@click.command()
@click.argument(
    "results", default="sftbench-results", type=click.Path(path_type=Path), metavar="[RESULTS]"
)
@click.option("--once", is_flag=True, help="Say where it stands, and stop.")
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between looks.",
)
def watch(results: Path, once: bool, every: float) -> int:  # noqa: FBT001
    """Follow the plan of RESULTS from another terminal until its cells have ended.

    It waits for one where there is none yet. A live table on a terminal, a line for each record
    elsewhere. It ends with exit code 0 where every cell ended well, else 1, and with 130 on Ctrl-C,
    which does not touch the run.
    """
    from sftbench.watching import Watcher

    watcher = Watcher(results)
    if once:
        _print_once(watcher)
        return 0
    _wait_for_plan(watcher, every)
    look = _live(watcher, every) if sys.stdout.isatty() else _lines(watcher, every)
    return 0 if set(look.ends) <= {"ok", "skipped"} else 1


def status_line(look: Look) -> str:
    """Return where the plan stands: `12 of 56 cells: 11 ok, 1 failed; 2 at work; about 5 min`."""
    ends = ", ".join(f"{count} {end}" for end, count in sorted(look.ends.items()))
    parts = [f"{len(look.records)} of {len(look.plan.cells)} cells" + (f": {ends}" if ends else "")]
    if look.beat is None:
        parts.append("done" if look.is_done else "no run is at work")
    else:
        parts.append(f"{len(look.running)} at work")
        left = look.beat.seconds_left
        if left is not None:
            parts.append(f"about {_duration(left)} to go")
    return "; ".join(parts)


def record_line(record: Record) -> str:
    """Return how a cell ended, on one line that a terminal does not obey."""
    from sftbench.names import one_line

    primary = record.primary
    value = record.value(primary.name) if primary else None
    told = f"{primary.name} {value:.3f}" if primary and value is not None else ""
    if record.status != "ok" and record.error:
        told = f"{record.error.type}: {record.error.message}"
    told = f" {told}" if told else ""
    seconds = f", {record.timing.total_seconds:.1f} s" if record.timing.total_seconds else ""
    return one_line(f"{record.cell.title}: {record.status}{told}{seconds}")


def _wait_for_plan(watcher: Watcher, every: float) -> None:
    if watcher.has_plan:
        return
    path = watcher.store.path
    click.echo(f"no plan in {path} yet; waiting for sftbench run --out {path}", err=True)
    while not watcher.has_plan:
        time.sleep(every)


def _looks(watcher: Watcher, every: float) -> Iterator[Look]:
    while True:
        look = watcher.look()
        yield look
        if look.is_done:
            return
        time.sleep(every)


def _lines(watcher: Watcher, every: float) -> Look:
    told = ""
    is_first = True
    for look in _looks(watcher, every):
        for record in () if is_first else look.new:
            click.echo(record_line(record))
        line = status_line(look)
        # Where nothing has ended the time left alone is no news.
        if is_first or look.new or line.partition("; about")[0] != told.partition("; about")[0]:
            click.echo(line)
            told = line
        is_first = False
    return look


def _live(watcher: Watcher, every: float) -> Look:
    from rich.console import Console
    from rich.live import Live

    latest: list[Record] = []
    with Live(console=Console(), auto_refresh=False) as live:
        for look in _looks(watcher, every):
            latest = [*latest, *look.new][-_MOST_LATEST:]
            live.update(_picture(look, latest), refresh=True)
    return look


def _print_once(watcher: Watcher) -> None:
    from sftbench.cli.tables import draw

    look = watcher.look()
    picture = _picture(look, look.new[-_MOST_LATEST:])
    draw(lambda _: picture)


def _picture(look: Look, latest: list[Record] | tuple[Record, ...]) -> RenderableType:
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.text import Text

    from sftbench.cli.group_table import GroupTable

    table = GroupTable(look.plan)
    for record in look.records.values():
        table.note(record)
    running = {cell_id: f"{cell.stage} {cell.share:.0%}" for cell_id, cell in look.running.items()}
    lines = [Text(record_line(one), overflow="fold", style="dim") for one in latest]
    whole = Group(table.render(running), Text(status_line(look), style="bold"), *lines)
    return Constrain(whole, _WIDTH)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
