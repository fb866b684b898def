"""The tables of a leaderboard's pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sftbench.leaderboard.groups import Board, Group
from sftbench.leaderboard.site_data import Ranked, Topic, package_of, slug, title_of
from sftbench.leaderboard.standings import Standing, Standings
from sftbench.names import one_line
from sftbench.pages.blocks import Block, Cell, Column, DataTable, Row, Text

_MOST_ROWS = 1_000
_FEW = 8


def standings_table(
    standings: Standings,
    table_id: str,
    heading: str,
    board: Board,
    kind: str,
    packages: Mapping[str, str],
    up: str = "",
) -> DataTable:
    """Return a ranking as a table; names lead to their pages."""
    columns = (
        Column(heading=heading),
        Column(heading="Place", is_number=True, lowest_first=True, explanation="By mean rank"),
        Column(heading="Mean rank", is_number=True, lowest_first=True),
        Column(heading="95 % of rank"),
        Column(heading="Ties", explanation="A shared letter: cannot be told apart"),
        Column(heading="IQM", is_number=True, explanation="Interquartile mean over all runs"),
        Column(heading="95 % of IQM"),
        Column(heading="Runs", is_number=True, explanation="Completed of planned"),
        Column(heading="Complete units", is_number=True),
    )
    rows = tuple(_standing(line, kind, up, packages) for line in standings.lines)
    # Few lines need no tools to find one.
    keys = ("Package",) if packages and len(rows) > _FEW else ()
    return DataTable(
        id=table_id,
        caption=_caption(heading, board),
        columns=columns,
        rows=rows,
        keys=keys,
        is_stacked=True,
    )


def _caption(what: str, board: Board) -> str:
    """Return what tells a table from those of the page's other boards."""
    return f"{what}, {title_of(board)}"


def _standing(line: Standing, kind: str, up: str, packages: Mapping[str, str]) -> Row:
    rank_interval = "" if line.rank_low is None else f"{line.rank_low:.2f} to {line.rank_high:.2f}"
    if line.iqm is not None:
        iqm, value = f"{line.iqm.value:.4f}", line.iqm.value
        missing_ends = line.iqm.low is None or line.iqm.high is None
        interval = "" if missing_ends else f"{line.iqm.low:.4f} to {line.iqm.high:.4f}"
    else:
        done = line.iqm_completed
        iqm, value, interval = ("" if done is None else f"({done:.4f})"), None, ""
    cells = (
        Cell(text=one_line(line.label, 120), href=f"{up}{kind}/{slug(line.name)}.html"),
        Cell(text=str(line.place), value=line.place, is_best=line.place == 1),
        Cell(text=f"{line.mean_rank:.2f}", value=line.mean_rank),
        Cell(text=rank_interval or "-"),
        Cell(text=line.ties or "-"),
        Cell(text=iqm or "-", value=value),
        Cell(text=interval or "-"),
        Cell(text=f"{line.num_runs:,} of {line.num_planned:,}", value=line.num_runs),
        Cell(text=f"{line.num_complete:,} of {line.num_units:,}", value=line.num_complete),
    )
    return Row(cells=cells, keys=(packages.get(line.label, ""),))


def datasets_table(one: Ranked, names: Sequence[str], number: int) -> DataTable:
    """Return a line for each data set: who is first in how many of its units, what is missing."""
    rows = []
    for name in names:
        groups = [group for group in one.board.groups if group.facts.dataset == name]
        sections = {group.facts.section for group in groups}
        first = Counter(
            group.label for group in groups if one.rank_of(group) == 1 and group.mean is not None
        )
        best = ", ".join(
            f"{one_line(label, 60)} ({count})" for label, count in first.most_common(3)
        )
        done = sum(len(group.values) for group in groups)
        planned = sum(group.num_expected for group in groups)
        cells = (
            Cell(text=one_line(name, 120), href=f"datasets/{slug(name)}.html"),
            Cell(text=f"{len(sections):,}", value=len(sections)),
            Cell(text=best or "-"),
            Cell(text=f"{done:,} of {planned:,}", value=done),
            Cell(text=f"{planned - done:,}", value=planned - done),
        )
        rows.append(Row(cells=cells, keys=(one_line(name, 120),)))
    return DataTable(
        id=f"datasets-{number}",
        caption=_caption("Data sets", one.board),
        columns=(
            Column(heading="Data set"),
            Column(heading="Units", is_number=True),
            Column(heading="First in (units)"),
            Column(heading="Runs", is_number=True),
            Column(heading="Missing", is_number=True),
        ),
        rows=tuple(rows),
        is_stacked=True,
    )


def results_blocks(
    one: Ranked, groups: Sequence[Group], number: int, *, by_section: bool
) -> Iterator[Block]:
    """Yield the results of groups, or of the first of each section, grouped by section."""
    shown = list(groups)
    what = "Results"
    if by_section:
        shown = [group for group in shown if one.rank_of(group) == 1]
        what = "First of each unit"
    if len(shown) > _MOST_ROWS:
        yield Text(
            text=f"The first {_MOST_ROWS:,} of {len(shown):,} rows; all of them are in the JSON "
            "and Parquet files of this page."
        )
    measure = one.board.measure
    keys = ("Unit", "Data set", "Variant", "Backbone", "Strategy")
    yield DataTable(
        id=f"results-{number}",
        caption=_caption(what, one.board),
        columns=(
            Column(heading="Strategy"),
            Column(
                heading=f"Mean {measure.name}" if measure else "Mean",
                is_number=True,
                lowest_first=measure is not None and measure.direction == "min",
            ),
            Column(heading="95 % of seeds"),
            Column(heading="Rank", is_number=True, lowest_first=True),
            Column(heading="Seeds", is_number=True),
            Column(heading="Other ends"),
            Column(heading="Seconds", is_number=True, lowest_first=True),
        ),
        rows=tuple(_result(one, group) for group in shown[:_MOST_ROWS]),
        keys=keys,
        grouped_by="Unit",
    )


def _result(one: Ranked, group: Group) -> Row:
    facts, rank = group.facts, one.rank_of(group)
    low, high = group.interval or (None, None)
    mean, done = group.mean, group.mean_completed
    text = f"{mean:.4f}" if mean is not None else ("-" if done is None else f"({done:.4f})")
    others = ", ".join(f"{count} {end}" for end, count in group.ends.items() if end != "ok")
    cells = (
        Cell(text=one_line(group.label, 120), href=f"../strategies/{slug(facts.strategy)}.html"),
        Cell(text=text, value=mean, is_best=rank == 1 and mean is not None),
        Cell(text="-" if low is None or high is None else f"{low:.4f} to {high:.4f}"),
        Cell(text="-" if rank is None else str(rank), value=rank),
        Cell(text=f"{len(group.values)} of {group.num_expected}", value=len(group.values)),
        Cell(text=others or "-"),
        Cell(text="-" if group.seconds is None else f"{group.seconds:,.1f}", value=group.seconds),
    )
    keys = (_unit(group), facts.dataset, facts.variant, facts.backbone, group.label)
    return Row(cells=cells, keys=tuple(one_line(key, 200) for key in keys))


def _unit(group: Group) -> str:
    facts = group.facts
    weights = "" if facts.weights == "pretrained" else f" ({facts.weights})"
    return (
        f"{facts.dataset}/{facts.variant}, {facts.backbone}{weights}, protocol {facts.protocol} "
        f"{facts.protocol_digest[:6]}"
    )


def brought_table(topic: Topic, board: Board, groups: Sequence[Group], number: int) -> DataTable:
    """Return the components of a package that runs of a board used."""
    used: Counter[tuple[str, str]] = Counter()
    for group in groups:
        for kind, label in group.packages.items():
            if package_of(label) == topic.name:
                used[kind, str(getattr(group.facts, kind, ""))] += len(group.values)
    pages = {"strategy": "strategies", "backbone": "backbones", "dataset": "datasets"}
    rows = [
        Row(
            cells=(
                Cell(
                    text=one_line(name or kind, 120),
                    href=f"../{pages[kind]}/{slug(name)}.html" if kind in pages else "",
                ),
                Cell(text=one_line(kind, 40)),
                Cell(text=f"{runs:,}", value=runs),
            ),
            keys=(one_line(kind, 40),),
        )
        for (kind, name), runs in sorted(used.items())
    ]
    return DataTable(
        id=f"brought-{number}",
        caption=_caption("What it brings", board),
        columns=(
            Column(heading="Component"),
            Column(heading="Kind"),
            Column(heading="Completed runs", is_number=True),
        ),
        rows=tuple(rows),
        keys=("Kind",),
    )
