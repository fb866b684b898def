"""Two groups side by side: whether, how much, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sftbench.records import MetricSpec
from sftbench.verdicts.comparisons import Comparison, ResampledCache, margin_of
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.effects import (
    EffectSize,
    Improvement,
    paired_effect_size,
    paired_improvement,
    probability_of_improvement,
)
from sftbench.verdicts.evidence import Group, Scoring, Section
from sftbench.verdicts.examples import (
    ClassDifference,
    DifferingExample,
    OutcomeReader,
    Outcomes,
    SeedTest,
    class_differences,
    differing_examples,
    seed_tests,
)
from sftbench.verdicts.families import Unscored, compared, reachable_seeds
from sftbench.verdicts.judge import Verdict, judge_section
from sftbench.verdicts.power import smallest_detectable
from sftbench.verdicts.selection import Pair
from sftbench.verdicts.statistics import seed_interval

Outcome = Literal["better", "worse", "tied", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two groups.

    Attributes:
        label: As tables show it.
        strategy: Its strategy.
        options: The strategy's options in full.
        values: The metric by completed seed.
        mean: Over seeds; None where an expected seed failed or is missing.
        num_expected: Seeds that a plan names.
        ends: Number of seeds by status; `missing` has no record.
        verdict: Its own, as in the table.
    """

    label: str
    strategy: str
    options: Mapping[str, object]
    values: Mapping[int, float]
    mean: float | None
    num_expected: int
    ends: Mapping[str, int]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Where two groups differ, over the seeds that both completed.

    Attributes:
        classes: Differences by class, the largest first.
        class_seeds_needed: For a class's adjusted p to fall below alpha; None: no number does.
        models: McNemar's test for each seed.
        examples: On which they differ in most seeds.
        num_examples: Of the test split; None without predictions.
        remarks: What could not be given, and why.
    """

    classes: tuple[ClassDifference, ...]
    class_seeds_needed: int | None
    models: tuple[SeedTest, ...]
    examples: tuple[DifferingExample, ...]
    num_examples: int | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionContrast:
    """Two groups of one section, a minus b.

    Attributes:
        protocol: Its name.
        protocol_digest: Of all its values.
        metric: What is compared, on the test split.
        outcome: Of a, by the rule of every verdict; `tied`: equal in every seed.
        missing: What keeps it from being decided.
        comparison: p-values and the interval *in the population*.
        seed_interval: Of the difference, *on this test set*.
        family: The comparisons that Holm's correction is over, in words.
        effect: Positive where a is better; None with a missing seed, or fewer than three pairs.
        improvement: a against b at the same seed.
        all_pairs: P(a better) + P(equal) / 2 over all pairs of their seeds.
        detectable: True difference, in the metric's unit, that as many pairs with this deviation
            find in 80 % of repetitions, by the adjusted p alone.
        seeds: Those that both completed.
        details: Where they differ.
    """

    backbone: str
    weights: str
    dataset: str
    variant: str
    task: str
    protocol: str
    protocol_digest: str
    metric: MetricSpec
    a: Side
    b: Side
    outcome: Outcome
    missing: str
    comparison: Comparison
    seed_interval: tuple[float, float] | None
    family: str
    effect: EffectSize | None
    improvement: Improvement | None
    all_pairs: float | None
    detectable: float | None
    seeds: tuple[int, ...]
    details: Details


def contrast_pair(
    pair: Pair,
    metric: MetricSpec,
    *,
    scoring: Scoring,
    outcomes: OutcomeReader,
    criteria: Criteria,
    num_examples: int,
) -> SectionContrast:
    """Return all that is known of two groups.

    Args:
        pair: The groups and their section.
        metric: What to compare them in; of another one than the primary no verdict is given.
        scoring: Tasks and predictions, for the population interval.
        outcomes: Predictions by example.
        criteria: Thresholds.
        num_examples: Test examples to name.
    """
    section = pair.section
    cache = ResampledCache(scoring)
    judged = judge_section(section, scoring, criteria, cache)
    verdicts = {one.group.key: one.verdict for one in judged}
    unread = "no predictions, so no population interval"
    if section.metric is None or section.metric.name != metric.name:
        unread = "a metric that is not the primary one has no population interval"
        unscored = Unscored(scoring)
        cache = ResampledCache(unscored)
        section = measured_in(section, metric)
        judged = judge_section(section, unscored, criteria, cache)
    groups = {group.key: group for group in section.groups}
    a, b = groups[pair.a.key], groups[pair.b.key]
    comparison, family = compared(section, (a, b), judged, cache, criteria)
    seeds = tuple(sorted(a.values.keys() & b.values.keys()))
    is_whole = bool(seeds) and not comparison.lacking
    sign = -1.0 if metric.direction == "min" else 1.0
    gaps = [a.values[seed] - b.values[seed] for seed in seeds] if is_whole else []
    gains = [sign * gap for gap in gaps]
    improvement = paired_improvement(gains, criteria.level)
    cell = section.cell
    return SectionContrast(
        backbone=cell.backbone,
        weights=cell.weights,
        dataset=cell.dataset,
        variant=cell.variant,
        task=cell.task,
        protocol=cell.protocol.name,
        protocol_digest=section.key[-1],
        metric=metric,
        a=_side(a, verdicts[a.key]),
        b=_side(b, verdicts[b.key]),
        outcome=_outcome(comparison, improvement, metric, criteria),
        missing=_missing(a, b, comparison, metric, criteria, unread),
        comparison=comparison,
        seed_interval=seed_interval(gaps, criteria.level),
        family=family,
        effect=paired_effect_size(gains, criteria.level),
        improvement=improvement,
        all_pairs=_all_pairs(a, b, sign) if is_whole else None,
        detectable=_detectable(gaps, comparison, criteria),
        seeds=seeds,
        details=_details(a, b, seeds, outcomes, criteria, num_examples),
    )


def measured_in(section: Section, metric: MetricSpec) -> Section:
    """Return a section whose groups are compared in another metric."""
    new = {group.key: replace(group, metric=metric) for group in section.groups}
    base, reference = section.baseline, section.reference
    return replace(
        section,
        metric=metric,
        groups=tuple(new.values()),
        baseline=None if base is None else new[base.key],
        reference=None if reference is None else new[reference.key],
    )


def _outcome(
    comparison: Comparison, improvement: Improvement | None, metric: MetricSpec, criteria: Criteria
) -> Outcome:
    if improvement is not None and improvement.wins == improvement.losses == 0:
        return "tied"
    direction = comparison.direction(margin_of(metric, criteria), criteria.alpha)
    return "better" if direction > 0 else "worse" if direction < 0 else "inconclusive"


def _missing(
    a: Group, b: Group, comparison: Comparison, metric: MetricSpec, criteria: Criteria, unread: str
) -> str:
    """Say what keeps the two from being told apart, with the names of both."""
    lacking = [f"{group.label}: {group.lacking}" for group in (a, b) if group.lacking]
    if comparison.lacking and lacking:
        return ", ".join(lacking)
    margin = margin_of(metric, criteria)
    return comparison.missing(margin, criteria.alpha, unread)


def _side(group: Group, verdict: Verdict) -> Side:
    values = group.values
    return Side(
        label=group.label,
        strategy=group.strategy,
        options=group.cell.options,
        values=values,
        mean=None if group.lacking or not values else float(np.mean(list(values.values()))),
        num_expected=group.num_expected,
        ends=group.ends,
        verdict=verdict,
    )


def _all_pairs(a: Group, b: Group, sign: float) -> float:
    first, second = ([sign * one for one in group.values.values()] for group in (a, b))
    return probability_of_improvement(first, second)


def _detectable(gaps: Sequence[float], comparison: Comparison, criteria: Criteria) -> float | None:
    if len(gaps) < 3 or comparison.num_family < 1:
        return None
    size = smallest_detectable(len(gaps), criteria.alpha / comparison.num_family)
    deviation = float(np.std(gaps, ddof=1))
    return None if size is None or math.isclose(deviation, 0.0) else size * deviation


def _details(
    a: Group,
    b: Group,
    seeds: Sequence[int],
    outcomes: OutcomeReader,
    criteria: Criteria,
    num_examples: int,
) -> Details:
    pairs, problem = _outcome_pairs(a, b, seeds, outcomes)
    labels = [one.label for one in a.records[seeds[0]].per_class] if seeds else []
    classes = class_differences(
        [(a.records[seed], b.records[seed]) for seed in seeds], criteria.level
    )
    return Details(
        classes=classes,
        class_seeds_needed=reachable_seeds(len(classes), criteria.alpha),
        models=seed_tests(pairs),
        examples=differing_examples(pairs, labels, num_examples),
        num_examples=len(next(iter(pairs.values()))[0].index) if pairs else None,
        remarks=(problem,) if problem else (),
    )


def _outcome_pairs(
    a: Group, b: Group, seeds: Sequence[int], outcomes: OutcomeReader
) -> tuple[dict[int, tuple[Outcomes, Outcomes]], str]:
    """Return both outcomes by seed, and why there are none."""
    found: dict[int, tuple[Outcomes, Outcomes]] = {}
    gives_classes = outcomes.gives_classes(a.cell.task)
    if not gives_classes:
        what = "is not installed" if gives_classes is None else "gives no example one class"
        return {}, f"no test examples: task {a.cell.task} {what}"
    for seed in seeds:
        first, second = (outcomes.outcomes_of(group.records[seed]) for group in (a, b))
        if first is None or second is None:
            return {}, f"no test examples: predictions of seed {seed} are not kept, or not readable"
        found[seed] = first, second
    every = [one for pair in found.values() for one in pair]
    if any(not one.is_about(every[0]) for one in every):
        return {}, "no test examples: the records are of different ones"
    return found, ""
