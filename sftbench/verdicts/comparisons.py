"""Paired comparisons of groups over their seeds, with the family that corrects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sftbench.evaluation.resampling import Resampled
from sftbench.records import MetricSpec, Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Scoring
from sftbench.verdicts.statistics import (
    Interval,
    holm,
    seeds_needed,
    sign_flip_p,
    two_way_interval,
)

_TOLERANCE = 1e-12
# Record and predictions give the same number but for the order of a sum.
_AGREEMENT = 1e-6


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group minus another in the primary metric, over the seeds that both completed.

    Attributes:
        against: Label of the other group.
        estimate: Mean paired difference in the metric's unit; None without a pair.
        gain: The same, positive where the group is better.
        interval: In the population of seeds and examples; None where a seed lacks, for fewer than
            two, or without predictions.
        p: Sign-flip, raw; None where an expected seed lacks.
        p_adjusted: By Holm, over `num_family` comparisons.
        num_pairs: Seeds that both completed.
        num_family: Comparisons of the family, made or not.
        seeds_needed: Least number of pairs with which the adjusted p can fall below alpha.
        lacking: Which seeds have no result; empty where all have.
        p_population: Of the interval, adjusted by Holm as `p` is; None without an interval.
    """

    against: str
    estimate: float | None
    gain: float | None
    interval: Interval | None
    p: float | None
    p_adjusted: float | None
    num_pairs: int
    num_family: int
    seeds_needed: int | None
    lacking: str
    p_population: float | None = None

    def direction(self, margin: float, alpha: float) -> int:
        """Return 1 for significantly better by `margin` (metric's unit), -1 for worse, else 0."""
        if self.missing(margin, alpha) or self.gain is None:
            return 0
        return 1 if self.gain > 0 else -1

    def missing(self, margin: float, alpha: float, unread: str = "predictions") -> str:
        """Say what keeps the comparison from deciding; empty where it decides.

        Args:
            margin: Least difference that counts.
            alpha: Level of the adjusted p.
            unread: What is missing where there is no interval.
        """
        if self.lacking:
            return self.lacking
        if self.seeds_needed is None:
            return f"no number of seeds reaches alpha {alpha:g}"
        if self.num_pairs < self.seeds_needed:
            return f"needs {self.seeds_needed} seeds"
        if self.interval is None:
            return unread
        parts = []
        if self.p_adjusted is None or not self.p_adjusted < alpha:
            parts.append(f"p not below {alpha:g}")
        if not self.interval.excludes_zero:
            parts.append("interval holds 0")
        elif self.p_population is not None and not self.p_population < alpha:
            parts.append(f"interval holds 0 over {self.num_family} comparisons")
        if self.gain is None or abs(self.gain) < margin - _TOLERANCE:
            parts.append(f"difference below {margin:g}")
        return ", ".join(parts)


class ResampledCache:
    """Resampled metrics of records, each read once; it lives as long as one section is judged."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._kept: dict[str, Resampled | None] = {}

    def interval(
        self,
        records: Sequence[Record],
        minus: Sequence[Record],
        recorded: float,
        level: float,
    ) -> Interval | None:
        """Return the population interval of a mean over seeds, or of a mean difference.

        Args:
            records: One a seed.
            minus: Of the same seeds, to be subtracted; none for a mean.
            recorded: The estimate by the records' own metrics.
            level: Of the interval.

        Returns:
            None where a record has nothing, their test examples differ, or they disagree with the
            records.
        """
        found = [self._one(record) for record in (*records, *minus)]
        kept = [one for one in found if one is not None]
        sets = {(one.num_examples, one.examples, len(one.values)) for one in kept}
        if not kept or len(kept) < len(found) or len(sets) > 1:
            return None
        values = np.stack([one.values for one in kept[: len(records)]])
        if minus:
            values -= np.stack([one.values for one in kept[len(records) :]])
        near = (2 if minus else 1) * max(one.tolerance for one in kept)
        made = two_way_interval(values, kept[0].num_examples, level)
        return None if made is None else _centred(made, recorded, near)

    def _one(self, record: Record) -> Resampled | None:
        if record.cell_id not in self._kept:
            self._kept[record.cell_id] = self._scoring.resampled_of(record)
        return self._kept[record.cell_id]


def _centred(found: Interval, recorded: float, near: float) -> Interval | None:
    """Return an interval about what the records say; None where the two disagree.

    Args:
        found: Of resampled values, which may be the metric only nearly.
        recorded: The estimate by the records.
        near: How far the two may be apart.
    """
    if abs(found.estimate - recorded) > max(_AGREEMENT, near):
        return None
    if near <= _AGREEMENT:
        return found
    low, high = (end + recorded - found.estimate for end in (found.low, found.high))
    return replace(found, estimate=recorded, low=low, high=high)


def margin_of(metric: MetricSpec, criteria: Criteria) -> float:
    """Return the margin in the metric's unit; a range without end counts as 1 wide."""
    low, high = metric.range
    return criteria.margin * (1.0 if high is None else high - low)


def compare_family(
    groups: Sequence[Group], against: Group, cache: ResampledCache, criteria: Criteria
) -> dict[tuple[str, ...], Comparison]:
    """Compare every group with `against`, p-values adjusted over all of them.

    A comparison that lacks a seed has p = 1 in the family: it stays in the count. The interval's
    p-value is adjusted too: where methods differ on the shared test examples the sign flip holds
    nothing back, and one of three intervals of equal methods excludes 0 in 12 % of trials.

    Returns:
        Comparisons by the group's key.
    """
    needed = _seeds_needed(len(groups), criteria.alpha)
    raw = {
        group.key: replace(
            _compare(group, against, cache, criteria),
            num_family=len(groups),
            seeds_needed=needed,
        )
        for group in groups
    }
    adjusted = holm([1.0 if one.p is None else one.p for one in raw.values()])
    wider = holm([1.0 if one.interval is None else one.interval.p for one in raw.values()])
    return {
        key: replace(
            one,
            p_adjusted=None if one.p is None else float(p),
            p_population=None if one.interval is None else float(q),
        )
        for (key, one), p, q in zip(raw.items(), adjusted, wider, strict=True)
    }


def _compare(group: Group, against: Group, cache: ResampledCache, criteria: Criteria) -> Comparison:
    mine, theirs = group.values, against.values
    seeds = sorted(mine.keys() & theirs.keys())
    differences = [mine[seed] - theirs[seed] for seed in seeds]
    estimate = float(np.mean(differences)) if differences else None
    lacking = _lacking(group, against)
    interval = None
    if len(seeds) > 1 and not lacking and estimate is not None:
        first, second = ([one.records[seed] for seed in seeds] for one in (group, against))
        interval = cache.interval(first, second, estimate, criteria.level)
    sign = -1.0 if group.metric is not None and group.metric.direction == "min" else 1.0
    return Comparison(
        against=against.label,
        estimate=estimate,
        gain=None if estimate is None else sign * estimate,
        interval=interval,
        p=None if lacking else sign_flip_p(differences),
        p_adjusted=None,
        num_pairs=len(seeds),
        num_family=0,
        seeds_needed=None,
        lacking=lacking,
    )


def _lacking(group: Group, against: Group) -> str:
    """Say why the pairs are not all there: a failed seed is not dropped in silence."""
    if group.lacking:
        return group.lacking
    shared = group.cells.keys() & against.cells.keys()
    if not shared:
        return f"no seed in common with {against.label}"
    if shared - against.values.keys():
        return f"{against.label}: {against.lacking}"
    return ""


def _seeds_needed(num_comparisons: int, alpha: float) -> int | None:
    try:
        return seeds_needed(max(1, num_comparisons), alpha)
    except ValueError:
        return None
