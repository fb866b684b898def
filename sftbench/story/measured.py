"""Each criterion of the verdict, met or not: what was found, the threshold, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sftbench.story.readings import CELL_READINGS, Reading
from sftbench.verdicts.comparisons import Comparison, margin_of
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Section, class_counts
from sftbench.verdicts.reasons import CELL_REASONS, Anchor
from sftbench.verdicts.reasons.distortion import ood_trials
from sftbench.verdicts.statistics import binomial_standard_error


@dataclass(frozen=True, slots=True)
class Measured:
    """One criterion of a group.

    Attributes:
        name: `success`, or a reason.
        reading: Of the group; of a reason of cells that of the seed which decides: as many seeds
            are further beyond the threshold as are less far.
        is_met: For the group.
        is_wanted: Whether to meet it is good.
        num_met: In how many seeds it is met; None where it is of the group as a whole.
        num_seeds: Of how many.
    """

    name: str
    reading: Reading
    is_met: bool
    is_wanted: bool
    num_met: int | None = None
    num_seeds: int = 0

    @property
    def seeds(self) -> str:
        """`5 of 7 seeds`; empty where it is of the group as a whole."""
        return "" if self.num_met is None else f"{self.num_met} of {self.num_seeds} seeds"


def success_criteria(
    group: Group, comparison: Comparison | None, criteria: Criteria
) -> tuple[Measured, ...]:
    """Return what a success needs; () for the baseline, and where there is none."""
    if comparison is None or group.metric is None:
        return ()
    found = [Reading("seeds without a result", float(_lacking(group)), "<=", 0.0)]
    if comparison.p_adjusted is not None:
        found.append(Reading("adjusted p", comparison.p_adjusted, "<", criteria.alpha))
    elif comparison.seeds_needed is not None:
        needed = float(comparison.seeds_needed)
        found.append(Reading("paired seeds", float(comparison.num_pairs), ">=", needed))
    if comparison.interval is not None:
        level = f"{100 * criteria.level:g} %"
        is_min = group.metric.direction == "min"
        end = -comparison.interval.high if is_min else comparison.interval.low
        what = f"lower end of the gain over {comparison.against} ({level} population)"
        found.append(Reading(what, end, ">", 0.0))
    if comparison.gain is not None:
        margin = margin_of(group.metric, criteria)
        what = f"gain over {comparison.against} in {group.metric.name}"
        found.append(Reading(what, comparison.gain, ">=", margin))
    return tuple(Measured("success", one, one.is_met, is_wanted=True) for one in found)


def reason_criteria(
    group: Group,
    applicable: frozenset[str],
    criteria: Criteria,
    *,
    anchor: Anchor,
    transfer: Comparison | None,
) -> tuple[Measured, ...]:
    """Return every reason that was measured, met or not.

    Args:
        group: Its records.
        applicable: Names of the reasons that its task knows.
        criteria: Thresholds.
        anchor: What a head on frozen features measured.
        transfer: Its comparison with training from random weights.
    """
    counted = group.counted
    found: list[Measured] = []
    for name, read in CELL_READINGS.items():
        if name not in applicable:
            continue
        by_seed = [
            tuple(read(record, class_counts(record), criteria, anchor))
            for record in counted.values()
            if record.status == "ok"
        ]
        found += _over_seeds(name, [one for one in by_seed if one], len(counted))
    for name, statuses in _ENDS.items():
        if name in applicable and counted:
            ended = sum(record.status in statuses for record in counted.values())
            reading = Reading("seeds that ended so", float(ended), ">", len(counted) / 2)
            found.append(
                Measured(
                    name,
                    reading,
                    reading.is_met,
                    is_wanted=False,
                    num_met=ended,
                    num_seeds=len(counted),
                )
            )
    if "NEGATIVE_TRANSFER" in applicable and transfer is not None:
        found += _transfer(group, transfer, criteria)
    if "UNSTABLE" in applicable:
        found += [_some_seeds(found, len(counted)), *_spread(group, criteria)]
    return tuple(found)


_ENDS: Mapping[str, tuple[str, ...]] = {
    "RESOURCE": ("out_of_memory", "timed_out"),
    "CRASHED": ("crashed", "failed"),
}


def distortion_criteria(
    section: Section, group: Group, criteria: Criteria, *, is_met: bool
) -> tuple[Measured, ...]:
    """Return how each foreign data set is told from the group's own.

    Args:
        section: With the group of frozen features that is compared with.
        group: Whose records are of it, not of one cell.
        criteria: Thresholds.
        is_met: Whether the verdict has the reason: it needs a gain in the primary metric besides.
    """
    found = []
    for trial, p in ood_trials(section):
        if trial.group.key == group.key and section.frozen is not None:
            what = f"adjusted p of AUROC {trial.mean:+.3f} to {section.frozen.label}, {trial.name}"
            reading = Reading(what, p, "<", criteria.alpha)
            is_worse = reading.is_met and trial.mean < 0
            found.append(Measured("OOD_DISTORTION", reading, is_met and is_worse, is_wanted=False))
    return tuple(found)


def _over_seeds(
    name: str, by_seed: Sequence[tuple[Reading, ...]], num_counted: int
) -> Iterator[Measured]:
    """Yield one criterion for each quantity, of the seed that decides."""
    for what in dict.fromkeys(one.what for readings in by_seed for one in readings):
        same = [one for readings in by_seed for one in readings if one.what == what]
        met = sum(one.is_met for one in same)
        ranked = sorted(same, key=lambda one: -one.by)
        yield Measured(
            name,
            ranked[len(ranked) // 2],
            2 * met > num_counted,
            is_wanted=False,
            num_met=met,
            num_seeds=num_counted,
        )


def _transfer(group: Group, transfer: Comparison, criteria: Criteria) -> Iterator[Measured]:
    if group.metric is None or transfer.gain is None:
        return
    margin = margin_of(group.metric, criteria)
    what = f"gain over {transfer.against} in {group.metric.name}, where it is certain"
    is_met = transfer.direction(margin, criteria.alpha) < 0
    reading = Reading(what, transfer.gain, "<=", -margin)
    yield Measured("NEGATIVE_TRANSFER", reading, is_met, is_wanted=False)


def _spread(group: Group, criteria: Criteria) -> Iterator[Measured]:
    counts = [class_counts(record) for record in group.completed.values()]
    known = [one for one in counts if one is not None]
    if len(known) < 2:
        return
    accuracies = [float(one.hits.sum() / one.support.sum()) for one in known]
    num_examples = min(int(one.support.sum()) for one in known)
    error = binomial_standard_error(float(np.mean(accuracies)), num_examples)
    deviation = float(np.std(accuracies, ddof=1))
    what = "SD of accuracy over seeds, against binomial errors"
    reading = Reading(what, deviation, ">", criteria.unstable_factor * error)
    yield Measured("UNSTABLE", reading, reading.is_met, is_wanted=False)


def _some_seeds(found: Sequence[Measured], num_counted: int) -> Measured:
    """Return how many hard reasons some but not most seeds met."""
    some = {
        one.name
        for one in found
        if one.name in CELL_REASONS and 0 < (one.num_met or 0) <= num_counted / 2
    }
    reading = Reading("hard reasons of some, not most, seeds", float(len(some)), ">", 0.0)
    return Measured("UNSTABLE", reading, reading.is_met, is_wanted=False)


def _lacking(group: Group) -> int:
    return group.num_expected - len(group.completed)
