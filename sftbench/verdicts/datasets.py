"""The contrast of two groups in all their sections, and over data sets together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftbench.errors import RequestError
from sftbench.records import MetricSpec
from sftbench.verdicts.across import (
    LEAST_DATASETS,
    Estimate,
    Ranking,
    interquartile_difference,
    interquartile_interval,
    mean_improvement,
    rank_groups,
    signed_rank_p,
)
from sftbench.verdicts.contrast import SectionContrast, contrast_pair, measured_in
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Scoring, Section
from sftbench.verdicts.examples import OutcomeReader
from sftbench.verdicts.selection import Pair, listed, section_title, unknown

_LEAST_RANKED = 3
# Any fixed seed will do; a fixed one gives the same interval for the same records.
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """Groups over five or more data sets of one backbone, weights, variant and protocol.

    Attributes:
        datasets: Their names.
        metric: What is compared.
        labels: The groups that every data set has.
        ranking: None for fewer than three groups.
        interquartile: Interquartile mean of each group; None where a seed lacks, or where metrics
            of the data sets differ.
        difference: Interquartile mean of a minus that of b.
        improvement: P(a better) + P(equal) / 2, mean over data sets.
        signed_rank_p: Wilcoxon's, of the means of a and b; None where one lacks.
        remarks: What could not be given, and why.
    """

    backbone: str
    weights: str
    variant: str
    protocol: str
    datasets: tuple[str, ...]
    metric: MetricSpec
    labels: tuple[str, ...]
    ranking: Ranking | None
    interquartile: tuple[Estimate | None, ...]
    difference: Estimate | None
    improvement: Estimate | None
    signed_rank_p: float | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Two groups in every section that has both.

    Attributes:
        a: The first name, as it was given.
        b: The second.
        criteria: Thresholds.
        sections: In the order of the plans.
        across: One for each backbone, weights, variant and protocol with five or more data sets.
        remarks: What was left out, and why.
    """

    a: str
    b: str
    criteria: Criteria
    sections: tuple[SectionContrast, ...]
    across: tuple[Across, ...]
    remarks: tuple[str, ...]


def contrast_pairs(
    names: tuple[str, str],
    pairs: Sequence[Pair],
    metric: str | None,
    *,
    scoring: Scoring,
    outcomes: OutcomeReader,
    criteria: Criteria,
    num_examples: int,
) -> Contrast:
    """Return the contrast of pairs of groups.

    Args:
        names: As they were given.
        pairs: One a section.
        metric: To compare in; None: the primary one of each section.
        scoring: Tasks and predictions, for the population interval.
        outcomes: Predictions by example.
        criteria: Thresholds.
        num_examples: Test examples to name in each section.

    Raises:
        RequestError: No section has the metric, or any result at all.
    """
    measured: list[tuple[Pair, MetricSpec]] = []
    remarks = []
    for pair in pairs:
        spec = _spec(pair, metric)
        if spec is None:
            what = f"no {metric}" if metric else "no result yet"
            remarks.append(f"{section_title(pair.section)}: {what}")
        else:
            measured.append((pair, spec))
    if not measured:
        raise RequestError(_no_metric(pairs, metric))
    sections = tuple(
        contrast_pair(
            pair,
            spec,
            scoring=scoring,
            outcomes=outcomes,
            criteria=criteria,
            num_examples=num_examples,
        )
        for pair, spec in measured
    )
    across, few = _across(measured, criteria)
    return Contrast(
        a=names[0],
        b=names[1],
        criteria=criteria,
        sections=sections,
        across=across,
        remarks=(*remarks, *few),
    )


def _spec(pair: Pair, metric: str | None) -> MetricSpec | None:
    """Return what a metric's numbers mean; None where neither group has one."""
    if metric is None:
        return pair.section.metric
    for group in (pair.a, pair.b):
        for record in group.records.values():
            for spec in record.metric_specs:
                if spec.name == metric and record.value(metric) is not None:
                    return spec
    return None


def _no_metric(pairs: Sequence[Pair], metric: str | None) -> str:
    titles = listed(section_title(pair.section) for pair in pairs)
    if metric is None:
        return f"no result yet of {pairs[0].a.label} and {pairs[0].b.label} in {titles}"
    known = {
        spec.name
        for pair in pairs
        for group in (pair.a, pair.b)
        for record in group.records.values()
        for spec in record.metric_specs
        if record.value(spec.name) is not None
    }
    return unknown("metric", metric, known)


def _across(
    measured: Sequence[tuple[Pair, MetricSpec]], criteria: Criteria
) -> tuple[tuple[Across, ...], list[str]]:
    """Return what is said of each set of sections that differ in their data set alone."""
    sets: dict[tuple[str, str, str, str], list[tuple[Pair, MetricSpec]]] = {}
    for pair, spec in measured:
        cell = pair.section.cell
        key = (cell.backbone, cell.weights, cell.variant, cell.protocol.name)
        sets.setdefault(key, []).append((pair, spec))
    found, remarks = [], []
    for key, members in sets.items():
        datasets = [pair.section.cell.dataset for pair, _ in members]
        title = " · ".join(key)
        if len(set(datasets)) < len(datasets):
            remarks.append(
                f"{title}: a data set has several sections, which are not independent; pick one "
                "with --protocol to see data sets together"
            )
        elif 1 < len(datasets) < LEAST_DATASETS:
            remarks.append(
                f"{title}: {len(datasets)} data sets; Friedman's test, the critical difference "
                f"and the interquartile mean need {LEAST_DATASETS}"
            )
        elif len(datasets) >= LEAST_DATASETS:
            found.append(_one_across(key, members, criteria))
    return tuple(found), remarks


def _one_across(
    key: tuple[str, str, str, str], members: Sequence[tuple[Pair, MetricSpec]], criteria: Criteria
) -> Across:
    metric = members[0][1]
    rows = [_by_label(measured_in(pair.section, spec)) for pair, spec in members]
    labels = [label for label in rows[0] if all(label in row for row in rows)]
    gains = np.array(
        [
            [_sign(spec) * _mean(row[label]) for label in labels]
            for row, (_, spec) in zip(rows, members, strict=True)
        ]
    )
    two = [
        (row[pair.a.label], row[pair.b.label]) for row, (pair, _) in zip(rows, members, strict=True)
    ]
    remarks = []
    is_one_metric = len({(spec.name, spec.direction, spec.range) for _, spec in members}) == 1
    if not is_one_metric:
        remarks.append("data sets have different metrics: ranks alone can be compared")
    is_whole = not any(group.lacking for both in two for group in both)
    if not is_whole:
        remarks.append("a seed lacks: its group's mean is null and ranks last")
    shared = [_shared(*both) for both in two]
    difference = improvement = signed_rank = None
    if is_one_metric and is_whole and all(one.size for one in shared):
        level = criteria.level
        difference = interquartile_difference(shared, seed=_BOOTSTRAP_SEED, level=level)
        signed = [_sign(metric) * one for one in shared]
        improvement = mean_improvement(signed, seed=_BOOTSTRAP_SEED, level=level)
        signed_rank = signed_rank_p([_mean(a) - _mean(b) for a, b in two])
    return Across(
        backbone=key[0],
        weights=key[1],
        variant=key[2],
        protocol=key[3],
        datasets=tuple(pair.section.cell.dataset for pair, _ in members),
        metric=metric,
        labels=tuple(labels),
        ranking=rank_groups(gains, criteria.alpha) if len(labels) >= _LEAST_RANKED else None,
        interquartile=tuple(
            _interquartile([row[label] for row in rows], criteria.level) if is_one_metric else None
            for label in labels
        ),
        difference=difference,
        improvement=improvement,
        signed_rank_p=signed_rank,
        remarks=tuple(remarks),
    )


def _by_label(section: Section) -> dict[str, Group]:
    return {group.label: group for group in section.groups if group.is_compared}


def _sign(metric: MetricSpec) -> float:
    return -1.0 if metric.direction == "min" else 1.0


def _mean(group: Group) -> float:
    """Return the mean over seeds; NaN where one lacks."""
    values = list(group.values.values())
    return math.nan if group.lacking or not values else float(np.mean(values))


def _shared(a: Group, b: Group) -> NDArray[np.float64]:
    """Return the values of the seeds that both completed, [2, S]."""
    seeds = sorted(a.values.keys() & b.values.keys())
    return np.array([[one.values[seed] for seed in seeds] for one in (a, b)])


def _interquartile(groups: Sequence[Group], level: float) -> Estimate | None:
    if any(math.isnan(_mean(group)) for group in groups):
        return None
    runs = [[group.values[seed] for seed in sorted(group.values)] for group in groups]
    return interquartile_interval(runs, seed=_BOOTSTRAP_SEED, level=level)
