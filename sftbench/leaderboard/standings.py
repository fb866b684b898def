"""Who stands where on a board: mean ranks and interquartile means, with intervals and ties.

A unit is a section: one data set, variant, backbone, weights and protocol. Intervals of mean ranks
and tests of ties take 5 units. A method that lacks a
cell of a section has the worst rank there, and no interquartile mean; nothing is skipped.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sftbench.leaderboard.groups import Board, Group
from sftbench.verdicts.across import (
    LEAST_DATASETS,
    Estimate,
    Floats,
    interquartile_interval,
    interquartile_mean,
    rank_groups,
)

K = TypeVar("K")
_SEED = 0
_NUM_RESAMPLES = 2000
_USUAL_WEIGHTS = "pretrained"
_LEAST_TESTED = 3  # groups of Friedman's test
_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of a ranking.

    Attributes:
        name: Of the strategy or backbone.
        label: The same, with what tells it from others of its name.
        place: By mean rank, 1 is best; equals share one.
        mean_rank: Over the units; the worst rank where a cell lacks.
        rank_low: Lower end of its 95 % interval over the units; None for fewer than 5.
        rank_high: Its upper end.
        iqm: Interquartile mean over all runs; None where a cell lacks.
        iqm_completed: The same over completed runs only.
        ties: Letters; those who share one cannot be told apart. Empty where nothing was tested.
        num_runs: Completed runs.
        num_planned: Runs that plans name.
        num_complete: Units in which every planned run ended well.
        num_units: Units of the ranking.
    """

    name: str
    label: str
    place: int
    mean_rank: float
    rank_low: float | None
    rank_high: float | None
    iqm: Estimate | None
    iqm_completed: float | None
    ties: str
    num_runs: int
    num_planned: int
    num_complete: int
    num_units: int


@dataclass(frozen=True, slots=True)
class Standings:
    """A ranking, the best first, and what Friedman's test says of it.

    `p` and `critical_difference` are None where there are too few units or lines to test.
    """

    lines: tuple[Standing, ...]
    num_units: int
    p: float | None = None
    critical_difference: float | None = None


def rank_methods(board: Board) -> Standings:
    """Rank the methods of a board over its sections."""
    names = {method: (method[0], label) for method, label in board.labels.items()}
    return rank(list(board.sections.values()), names, board)


def rank_backbones(board: Board) -> Standings:
    """Rank backbones, with their weights and image size, over everything else that a cell names."""
    units: dict[tuple[object, ...], dict[tuple[str, str, int], Group]] = {}
    for group in board.groups:
        facts = group.facts
        unit = (facts.dataset, facts.variant, facts.sizeless_digest, facts.method)
        key = (facts.backbone, facts.weights, facts.image_size)
        units.setdefault(unit, {})[key] = group
    shared = [unit for unit in units.values() if len(unit) > 1]
    keys = sorted({key for unit in shared for key in unit})
    sizes = Counter(key[:2] for key in keys)
    names = {}
    for backbone, weights, size in keys:
        parts = [weights] if weights != _USUAL_WEIGHTS else []
        parts += [f"size {size}"] if sizes[backbone, weights] > 1 else []
        label = f"{backbone} ({', '.join(parts)})" if parts else backbone
        names[backbone, weights, size] = (backbone, label)
    return rank(shared, names, board)


def rank(
    units: Sequence[Mapping[K, Group]], names: Mapping[K, tuple[str, str]], board: Board
) -> Standings:
    """Rank whatever has groups in units; what has none in a unit lacks it.

    Args:
        units: Groups by what is ranked.
        names: Name and label of everything that is ranked.
        board: Says which direction is better.
    """
    keys = list(names)
    if not units or not keys or board.measure is None:
        return Standings((), len(units))
    sign = board.measure.sign
    means = np.full((len(units), len(keys)), np.nan)
    for row, unit in enumerate(units):
        for column, key in enumerate(keys):
            group = unit.get(key)
            if group is not None and group.mean is not None:
                means[row, column] = sign * group.mean
    ranks = _ranks(means)
    tested = len(units) >= LEAST_DATASETS and len(keys) >= _LEAST_TESTED
    ranking = rank_groups(means) if tested else None
    letters = _letters(ranking.cliques, len(keys)) if ranking else [""] * len(keys)
    averages = ranks.mean(axis=0)
    intervals = _rank_intervals(ranks)

    def line(column: int) -> Standing:
        key = keys[column]
        return _line(
            names[key],
            [unit[key] for unit in units if key in unit],
            len(units),
            place=1 + int((averages < averages[column] - 10.0**-_DECIMALS).sum()),
            rank=(float(averages[column]), *intervals[column]),
            ties=letters[column],
        )

    lines = sorted(
        map(line, range(len(keys))),
        key=lambda one: (one.place, -sign * (one.iqm_completed or -np.inf), one.label),
    )
    return Standings(
        tuple(lines),
        len(units),
        ranking.p if ranking else None,
        ranking.critical_difference if ranking else None,
    )


def _line(
    names: tuple[str, str],
    groups: Sequence[Group],
    num_units: int,
    *,
    place: int,
    rank: tuple[float, float | None, float | None],
    ties: str,
) -> Standing:
    complete = [group for group in groups if group.is_complete]
    values = [value for group in groups for value in group.values]
    iqm = None
    if complete and len(complete) == num_units:
        iqm = interquartile_interval([group.values for group in complete], seed=_SEED)
    return Standing(
        name=names[0],
        label=names[1],
        place=place,
        mean_rank=rank[0],
        rank_low=rank[1],
        rank_high=rank[2],
        iqm=iqm,
        iqm_completed=iqm.value if iqm else _iqm(values),
        ties=ties,
        num_runs=len(values),
        num_planned=sum(group.num_expected for group in groups),
        num_complete=len(complete),
        num_units=num_units,
    )


def _iqm(values: Sequence[float]) -> float | None:
    return float(interquartile_mean(values)) if values else None


def _ranks(gains: Floats) -> Floats:
    """Return ranks by row, 1 is best; equals share theirs, what lacks ranks last."""
    from scipy.stats import rankdata

    lacking_last = np.where(np.isnan(gains), -np.inf, np.round(gains, _DECIMALS))
    return np.asarray(rankdata(-lacking_last, axis=1), dtype=np.float64)


def _rank_intervals(ranks: Floats) -> list[tuple[float, float] | tuple[None, None]]:
    """Return percentile bootstrap intervals of mean ranks: units are drawn with replacement."""
    num_units, num_lines = ranks.shape
    if num_units < LEAST_DATASETS:
        return [(None, None)] * num_lines
    generator = np.random.Generator(np.random.PCG64(_SEED))
    shares = np.full(num_units, 1.0 / num_units)
    weights = generator.multinomial(num_units, shares, size=_NUM_RESAMPLES) / num_units
    low, high = np.quantile(weights @ ranks, [0.025, 0.975], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _letters(cliques: Sequence[Sequence[int]], count: int) -> list[str]:
    """Return for each line the letters of its ties; one that is tied with none has none."""
    letters = [""] * count
    for number, clique in enumerate(cliques):
        for column in clique:
            letters[column] += _letter(number)
    return letters


def _letter(number: int) -> str:
    """Return a, b, ... z, then a1, b1 ..."""
    turn, place = divmod(number, len(string.ascii_lowercase))
    return f"{string.ascii_lowercase[place]}{turn or ''}"
