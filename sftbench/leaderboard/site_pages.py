"""The pages of a leaderboard as blocks; how they look is for `sftbench.pages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sftbench import __version__
from sftbench.leaderboard.groups import Board, Group
from sftbench.leaderboard.reading import Collected
from sftbench.leaderboard.site_data import Ranked, Topic, package_of, slug, title_of
from sftbench.leaderboard.site_plots import standings_plot
from sftbench.leaderboard.site_tables import (
    brought_table,
    datasets_table,
    results_blocks,
    standings_table,
)
from sftbench.leaderboard.standings import Standings
from sftbench.names import one_line
from sftbench.pages.blocks import (
    Block,
    Figure,
    Link,
    Listing,
    Page,
    Section,
    Text,
    Tiles,
    Tone,
)
from sftbench.pages.page import anchor

_MOST_PROBLEMS = 100
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
            _tile(count["strategies"], "strategy", "strategies"),
            _tile(count["datasets"], "data set"),
            _tile(count["backbones"], "backbone"),
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
    units = _counted(len(board.sections), "unit")
    yield Text(text=f"{units}; {_told(one.methods)}", is_quiet=True)
    if one.methods.lines:
        if one.methods.num_units > 1:
            has_intervals = any(line.rank_low is not None for line in one.methods.lines)
            intervals = ", with 95 % intervals over units" if has_intervals else ""
            yield Figure(
                plot=standings_plot(one.methods, f"ranks-{number}"),
                caption=f"Mean rank of strategies, 1 is best{intervals}.",
            )
        packages = _packages_of(board)
        yield standings_table(
            one.methods, f"methods-{number}", "Strategies", board, "strategies", packages
        )
    datasets = {group.facts.dataset for group in board.groups}
    yield datasets_table(one, sorted(datasets), number)
    if one.backbones.lines:
        units = _counted(one.backbones.num_units, "combination")
        yield Text(
            text=f"Backbones over {units} of data set, variant, protocol and strategy that two or "
            "more ran.",
            is_quiet=True,
        )
        yield standings_table(
            one.backbones, f"backbones-{number}", "Backbones", board, "backbones", {}
        )


def _part(topic: Topic, one: Ranked, groups: Sequence[Group], number: int) -> Iterator[Block]:
    """Yield what a topic's page shows of one board."""
    within = topic.rankings.get(title_of(one.board))
    if within is not None and within.lines:
        units = _counted(within.num_units, "unit")
        yield Text(text=f"Over {units} of {topic.name}; {_told(within)}", is_quiet=True)
        packages = _packages_of(one.board)
        yield standings_table(
            within, f"methods-{number}", "Strategies here", one.board, "strategies", packages, "../"
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
                kept, f"methods-{number}", "Where it stands", one.board, "strategies", {}, "../"
            )
    if topic.kind == "packages":
        yield brought_table(topic, one.board, groups, number)
        return
    yield from results_blocks(one, groups, number, by_section=topic.kind == "backbones")


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
        f"{one_line(path, 200)}: {_counted(count, 'cell')} with a record"
        for path, count in found.num_records.items()
    ]
    if found.num_repeated:
        lines.append(
            f"In more than one store: {_counted(found.num_repeated, 'cell')}; the run of the store "
            "named first counts, or the first that ended well"
        )
    if found.problems:
        lines.append(f"{_counted(len(found.problems), 'file')} left alone:")
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
            _tile(len({group.facts.section for group in groups}), "unit"),
            (f"{planned - done:,}", "missing or failed", ""),
        )
    )


def _tile(number: int, one: str, many: str = "") -> tuple[str, str, Tone]:
    count, _, what = _counted(number, one, many).partition(" ")
    return count, what, ""


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


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
