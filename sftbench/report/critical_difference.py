"""A critical-difference diagram in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sftbench.names import one_line
from sftbench.verdicts.across import Ranking

_LONGEST_LABEL = 24
_LEAST_AXIS = 20


def draw(ranking: Ranking, labels: Sequence[str], width: int = 100) -> Iterator[str]:
    """Yield the lines of a diagram: mean ranks on an axis, and a bar under groups that are tied.

    Args:
        ranking: Mean ranks, critical difference, cliques.
        labels: Of the groups.
        width: Columns to use.
    """
    names = [one_line(label, _LONGEST_LABEL) for label in labels]
    most = len(names)
    left = max(map(len, [*names, "critical difference"])) + 6
    columns = max(min(width - left - 1, 60), _LEAST_AXIS)

    def place(rank: float) -> int:
        return round((rank - 1.0) / (most - 1) * (columns - 1))

    def line(name: str, number: str, drawn: str) -> str:
        return f"{name.ljust(left - 6)} {number:>4} {drawn}".rstrip()

    ticks = [place(rank) for rank in range(1, most + 1)]
    marks = [" "] * (columns + 2)
    for rank, tick in enumerate(ticks, start=1):
        for offset, digit in enumerate(str(rank)):
            marks[tick + offset] = digit
    yield line("mean rank", "", "".join(marks))
    yield line("", "", "".join("+" if one in ticks else "-" for one in range(columns)))
    for group in sorted(range(most), key=lambda one: ranking.mean_ranks[one]):
        mean = ranking.mean_ranks[group]
        yield line(names[group], f"{mean:.2f}", f"{' ' * place(mean)}o")
    for clique in ranking.cliques:
        ends = [place(ranking.mean_ranks[one]) for one in (clique[0], clique[-1])]
        yield line("not told apart", "", f"{' ' * ends[0]}{'=' * (ends[1] - ends[0] + 1)}")
    long = min(place(1.0 + ranking.critical_difference), columns - 1)
    yield line("critical difference", f"{ranking.critical_difference:.2f}", f"|{'-' * (long - 1)}|")
