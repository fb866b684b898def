"""Which family a comparison of two groups belongs to, and its p-value there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations

from sftbench.evaluation.resampling import Resampled
from sftbench.records import Record
from sftbench.verdicts.comparisons import Comparison, ResampledCache, compare_family
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Scoring, Section
from sftbench.verdicts.judge import Judged
from sftbench.verdicts.statistics import holm, seeds_needed


class Unscored:
    """Tasks without predictions: for p-values alone, and for metrics that were not resampled.

    Args:
        scoring: Knows the reasons of a task; None: none applies.
    """

    def __init__(self, scoring: Scoring | None = None) -> None:
        self._scoring = scoring

    def reasons_of(self, task: str, records: Iterable[Record]) -> frozenset[str] | None:
        """Return what the other scoring does."""
        return self._scoring.reasons_of(task, records) if self._scoring else frozenset()

    def resampled_of(self, record: Record) -> Resampled | None:
        """Return None."""
        return None


def compared(
    section: Section,
    pair: tuple[Group, Group],
    judged: Sequence[Judged],
    cache: ResampledCache,
    criteria: Criteria,
) -> tuple[Comparison, str]:
    """Return a minus b with its family in words.

    The family is the plan's where it has this comparison: the same numbers as in its table. Else
    it is every pair of groups of the section, since any of them could be asked for.

    Args:
        section: Of both.
        pair: a and b, of its groups.
        judged: The section's verdicts.
        cache: Resampled metrics of its records.
        criteria: Thresholds.
    """
    a, b = pair
    by_key = {one.group.key: one for one in judged}
    for role, name in ((section.baseline, "comparison"), (section.reference, "transfer")):
        if role is None or role.key not in (a.key, b.key):
            continue
        other = b if role.key == a.key else a
        planned: Comparison | None = getattr(by_key[other.key], name)
        if planned is not None:
            turned = planned if other is a else _mirrored(planned, b.label)
            return turned, f"every comparison with {role.label}"
    return _unplanned(section, a, b, cache, criteria), "every pair of groups of the section"


def _unplanned(
    section: Section, a: Group, b: Group, cache: ResampledCache, criteria: Criteria
) -> Comparison:
    """Return a minus b, p adjusted over all pairs of groups."""
    planned = [group for group in section.groups if group.is_compared]
    # The other pairs give nothing but their p, so nobody computes their intervals.
    without = ResampledCache(Unscored())
    raw = {
        (first.key, second.key): compare_family([first], second, without, criteria)[first.key].p
        for first, second in combinations(planned, 2)
    }
    adjusted = dict(zip(raw, holm([1.0 if p is None else p for p in raw.values()]), strict=True))
    # In the order of the plan, so that either order of the names gives the same numbers.
    is_turned = (a.key, b.key) not in raw
    first, second = (b, a) if is_turned else (a, b)
    found = compare_family([first], second, cache, criteria)[first.key]
    whole = replace(
        found,
        num_family=len(raw),
        seeds_needed=reachable_seeds(len(raw), criteria.alpha),
        p_adjusted=None if found.p is None else float(adjusted[first.key, second.key]),
    )
    return _mirrored(whole, b.label) if is_turned else whole


def _mirrored(one: Comparison, against: str) -> Comparison:
    """Return b minus a as a minus b."""
    interval = one.interval
    return replace(
        one,
        against=against,
        estimate=None if one.estimate is None else -one.estimate,
        gain=None if one.gain is None else -one.gain,
        interval=None
        if interval is None
        else replace(interval, estimate=-interval.estimate, low=-interval.high, high=-interval.low),
    )


def reachable_seeds(num_comparisons: int, alpha: float) -> int | None:
    """Return the seeds with which a p adjusted over so many can fall below alpha, or None."""
    try:
        return seeds_needed(max(1, num_comparisons), alpha)
    except ValueError:
        return None
