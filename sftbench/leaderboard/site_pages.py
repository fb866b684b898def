"""The pages of a leaderboard as blocks; how they look is for `sftbench.pages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sftbench import __version__
from sftbench.leaderboard.groups import Board, Group
from sftbench.leaderboard.reading import Collected
from sftbench.leaderboard.site_data import Ranked, Topic, package_of, slug, title_of
from sftbench.leaderboard.site_plots import standings_plot
from sftbench.leaderboard.standings import Standing, Standings
from sftbench.names import one_line
from sftbench.pages.blocks import (
    Block,
    Cell,
    Column,
    DataTable,
    Figure,
    Link,
    Listing,
    Page,
    Row,
    Section,
    Text,
    Tiles,
)
from sftbench.pages.page import anchor

_MOST_ROWS = 1_000
_MOST_PROBLEMS = 100
_FEW = 8
_NAMES = {
    "strategies": "Strategy",
    "backbones": "Backbone",
    "datasets": "Data set",
    "packages": "Plugin package",
}
_RULES = tuple(
    line.strip()
    for line in """
    A unit is one data set, variant, backbone, weights and protocol.
    Who lacks a cell of a unit (never planned, failed, missing) has the worst rank there and no IQM.
    Nothing is skipped; numbers in brackets are over completed runs alone.
    Mean rank: 1 is best; its interval draws units with replacement, from 5 units on.
    Ties: who shares a letter cannot be told apart (Friedman, then Nemenyi, 5 %), from 5 units on.
    IQM: mean of the middle half of all runs; its interval draws seeds anew, on these test sets.
    """.strip().splitlines()
)


def overview(topic: Topic, every: Sequence[Ranked], found: Collected) -> Page:
    """Return the first page: every board, and what it was made from."""
    planned = len(found.planned.keys() | found.runs.keys())
    ended = sum(run.value is not None for run in found.runs.values())
    kinds = Counter(("strategies", group.facts.strategy) for _, group in topic.groups)
    kinds |= Counter(("datasets", group.facts.dataset) for _, group in topic.groups)
    kinds |= Counter(("backbones", group.facts.backbone) for _, group in topic.groups)
    count = Counter(kind for kind, _ in kinds)
    tiles = Tiles(
        tiles=(
            (f"{ended:,}", f"of {planned:,} cells completed", ""),
            (f"{count['strategies']:,}", "strategies", ""),
            (f"{count['datasets']:,}", "data sets", ""),
            (f"{count['backbones']:,}", "backbones", ""),
        )
    )
    sections = [
        Section(
            heading=title_of(one.board),
            id=anchor("board", title_of(one.board)),
            blocks=tuple(_board(one, number)),
        )
        for number, one in enumerate(every)
    ]
    return Page(
        title="Leaderboard",
        lead="Which way of fine-tuning works: many runs, one ranking for each task.",
        blocks=(
            tiles,
            _files(topic),
            *sections,
            Section(heading="How to read it", id="reading", blocks=(Listing(lines=_RULES),)),
            _packages(every),
            _sources(found),
        ),
        footer=_footer(),
    )


def topic_page(topic: Topic) -> Page:
    """Return the page of a strategy, backbone, data set or package."""
    here = list({id(one): one for one, _ in topic.groups}.values())
    blocks: list[Block] = [
        Link(text="Leaderboard", href="../index.html"),
        _tiles([group for _, group in topic.groups]),
        _files(topic),
    ]
    for number, one in enumerate(here):
        groups = [group for of, group in topic.groups if of is one]
        name = title_of(one.board)
        blocks.append(
            Section(
                heading=name,
                id=anchor("board", name),
                blocks=tuple(_part(topic, one, groups, number)),
            )
        )
    shown = one_line(topic.name, 200)
    return Page(
        title=shown,
        lead=f"{_NAMES[topic.kind]} on the leaderboard.",
        blocks=tuple(blocks),
        footer=_footer(),
    )


def _board(one: Ranked, number: int) -> Iterator[Block]:
    board = one.board
    yield Text(text=f"{len(board.sections)} units; {_told(one.methods)}", is_quiet=True)
    if one.methods.lines:
        if one.methods.num_units > 1:
            yield Figure(
                plot=standings_plot(one.methods, f"ranks-{number}"),
                caption="Mean rank of strategies, 1 is best, with 95 % intervals over units.",
            )
        packages = _packages_of(board)
        yield standings_table(
            one.methods, f"methods-{number}", "Strategies", "strategies", packages
        )
    datasets = {group.facts.dataset for group in board.groups}
    yield _datasets(one, sorted(datasets), number)
    if one.backbones.lines:
        units = f"{one.backbones.num_units} data sets, variants, protocols and strategies"
        yield Text(text=f"Backbones over {units} that two or more ran.", is_quiet=True)
        yield standings_table(one.backbones, f"backbones-{number}", "Backbones", "backbones", {})


def _part(topic: Topic, one: Ranked, groups: Sequence[Group], number: int) -> Iterator[Block]:
    """Yield what a topic's page shows of one board."""
    within = topic.rankings.get(title_of(one.board))
    if within is not None and within.lines:
        yield Text(
            text=f"Over {within.num_units} units of {topic.name}; {_told(within)}", is_quiet=True
        )
        packages = _packages_of(one.board)
        yield standings_table(
            within, f"methods-{number}", "Strategies here", "strategies", packages, "../"
        )
    elif topic.kind in ("strategies", "packages"):
        labels = {group.label for group in groups}
        lines = tuple(line for line in one.methods.lines if line.label in labels)
        if topic.kind == "packages" and all(
            package_of(group.packages.get("strategy", "")) != topic.name for group in groups
        ):
            lines = ()
        if lines:
            kept = Standings(lines, one.methods.num_units, one.methods.p)
            yield standings_table(
                kept, f"methods-{number}", "Where it stands", "strategies", {}, "../"
            )
    if topic.kind == "packages":
        yield _brought(topic, groups, number)
        return
    yield from _results(one, groups, number, by_section=topic.kind == "backbones")


def standings_table(
    standings: Standings,
    table_id: str,
    caption: str,
    kind: str,
    packages: Mapping[str, str],
    up: str = "",
) -> DataTable:
    """Return a ranking as a table; names lead to their pages."""
    columns = (
        Column(heading=caption),
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
    return DataTable(id=table_id, caption=caption, columns=columns, rows=rows, keys=keys)


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


def _datasets(one: Ranked, names: Sequence[str], number: int) -> DataTable:
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
        caption="Data sets",
        columns=(
            Column(heading="Data set"),
            Column(heading="Units", is_number=True),
            Column(heading="First in (units)"),
            Column(heading="Runs", is_number=True),
            Column(heading="Missing", is_number=True),
        ),
        rows=tuple(rows),
    )


def _results(
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
        caption=what,
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


def _brought(topic: Topic, groups: Sequence[Group], number: int) -> DataTable:
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
        caption="What it brings",
        columns=(
            Column(heading="Component"),
            Column(heading="Kind"),
            Column(heading="Completed runs", is_number=True),
        ),
        rows=tuple(rows),
        keys=("Kind",),
    )


def _packages_of(board: Board) -> dict[str, str]:
    """Return the package of each method's strategy, by label."""
    found = {group.label: package_of(group.packages.get("strategy", "")) for group in board.groups}
    return {label: one_line(package, 120) for label, package in found.items()}


def _packages(every: Sequence[Ranked]) -> Section:
    names = {
        package_of(label)
        for one in every
        for group in one.board.groups
        for label in group.packages.values()
    }
    lines = tuple(
        Link(text=one_line(name, 120), href=f"packages/{slug(name)}.html") for name in sorted(names)
    )
    return Section(heading="Plugin packages", id="packages", blocks=(Listing(lines=lines),))


def _sources(found: Collected) -> Section:
    lines = [
        f"{one_line(path, 200)}: {count:,} cells with a record"
        for path, count in found.num_records.items()
    ]
    if found.num_repeated:
        lines.append(
            f"{found.num_repeated:,} cells are in more than one store: the run of the store named "
            "first counts, or the first that ended well"
        )
    if found.problems:
        lines.append(f"{len(found.problems):,} files were left alone:")
        lines += [
            one_line(f"{problem.path.parent.name}/{problem.path.name}: {problem.reason}", 300)
            for problem in found.problems[:_MOST_PROBLEMS]
        ]
    return Section(heading="Made from", id="sources", blocks=(Listing(lines=tuple(lines)),))


def _tiles(groups: Sequence[Group]) -> Tiles:
    done = sum(len(group.values) for group in groups)
    planned = sum(group.num_expected for group in groups)
    return Tiles(
        tiles=(
            (f"{done:,}", f"of {planned:,} cells completed", ""),
            (f"{len({group.facts.section for group in groups}):,}", "units", ""),
            (f"{planned - done:,}", "missing or failed", ""),
        )
    )


def _files(topic: Topic) -> Listing:
    """Return the links to the page's data."""
    name = topic.path.rpartition("/")[2]
    return Listing(
        lines=(
            Link(text="This page as JSON", href=f"{name}.json"),
            Link(text="Its rows as Parquet", href=f"{name}.parquet"),
        )
    )


def _told(found: Standings) -> str:
    if found.p is None or found.critical_difference is None:
        return "too few for a test of ties"
    return (
        f"Friedman p {found.p:.3g}, critical difference of mean ranks "
        f"{found.critical_difference:.2f}"
    )


def _footer() -> tuple[str, ...]:
    return (f"Made by sftbench {__version__} from records alone.",)
