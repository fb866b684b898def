"""Verdicts: what the comparisons and reasons of one section say about each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sftbench.names import one_line
from sftbench.verdicts.comparisons import (
    Comparison,
    ResampledCache,
    compare_family,
    margin_of,
)
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, Scoring, Section, class_counts
from sftbench.verdicts.reasons import (
    END_REASONS,
    Anchor,
    Finding,
    cell_findings,
    hold_over_seeds,
    negative_transfer,
    ood_distortions,
    unstable,
)

Kind = Literal["success", "failure", "inconclusive", "baseline", "skipped"]
Arrow = Literal["↑", "↓", ""]
Comparisons = Mapping[tuple[str, ...], Comparison]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said about a group.

    Attributes:
        kind: The verdict.
        arrow: The sign of the difference where it is inconclusive; up is better.
        reasons: Hard and soft ones that hold.
        missing: What keeps it from success or failure, which seeds lack, or why it was skipped.
    """

    kind: Kind
    arrow: Arrow = ""
    reasons: tuple[Finding, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A group with its verdict.

    `comparison` is with the baseline; `transfer` with training from random weights: a family of
    its own, because it answers another question (did the pretrained weights hurt?).
    """

    group: Group
    verdict: Verdict
    comparison: Comparison | None
    transfer: Comparison | None


def judge_section(
    section: Section, scoring: Scoring, criteria: Criteria, cache: ResampledCache | None = None
) -> tuple[Judged, ...]:
    """Return the verdict of every group, in the section's order.

    Args:
        section: The groups, with their records.
        scoring: Tasks and predictions.
        criteria: Thresholds.
        cache: What was kept of records, that the caller also needs.
    """
    cache = cache or ResampledCache(scoring)
    task = section.cell.task
    records = (one for group in section.groups for one in group.records.values())
    reasons = scoring.reasons_of(task, records)
    applicable = END_REASONS if reasons is None else reasons
    unread = f"the plugin of task {one_line(task, 60)}" if reasons is None else "predictions"
    compared = _against(section, section.baseline, cache, criteria)
    transfers: Comparisons = {}
    # Where every cell starts from random weights there is no transfer to be negative.
    if "NEGATIVE_TRANSFER" in applicable and section.cell.weights != "none":
        transfers = _against(section, section.reference, cache, criteria)
    distorted = ood_distortions(section, criteria) if "OOD_DISTORTION" in applicable else {}
    anchor = Anchor.of(section.frozen)
    return tuple(
        _judge(
            section,
            group,
            comparison=compared.get(group.key),
            transfer=transfers.get(group.key),
            findings=group_findings(
                group,
                applicable,
                criteria,
                transfer=transfers.get(group.key),
                # Nothing is compared with itself.
                anchor=None if group is section.frozen else anchor,
                distortion=distorted.get(group.key),
            ),
            criteria=criteria,
            unread=unread,
        )
        for group in section.groups
    )


def group_findings(
    group: Group,
    applicable: frozenset[str],
    criteria: Criteria,
    *,
    transfer: Comparison | None = None,
    anchor: Anchor | None = None,
    distortion: Finding | None = None,
) -> tuple[Finding, ...]:
    """Return the reasons that hold for a group, hard ones first.

    Args:
        group: Its records are judged.
        applicable: Names of the reasons that its task knows.
        criteria: Thresholds.
        transfer: Its comparison with training from random weights.
        anchor: What a head on frozen features measured; None: nothing to compare with.
        distortion: The finding that it tells foreign images worse than that head.
    """
    by_seed = {
        seed: cell_findings(record, applicable, criteria, anchor or Anchor())
        for seed, record in group.counted.items()
    }
    most, some = hold_over_seeds(by_seed)
    hurt = negative_transfer(group, transfer, criteria)
    findings = [one for one in (*most, hurt, distortion) if one is not None]
    if "UNSTABLE" in applicable:
        counts = {seed: class_counts(record) for seed, record in group.completed.items()}
        known = {seed: one for seed, one in counts.items() if one is not None}
        shaky = unstable(some, known, criteria)
        findings += [shaky] if shaky else []
    return tuple(sorted(findings, key=lambda one: not one.hard))


def _against(
    section: Section, other: Group | None, cache: ResampledCache, criteria: Criteria
) -> Comparisons:
    if other is None:
        return {}
    return compare_family(section.family(other), other, cache, criteria)


def _judge(
    section: Section,
    group: Group,
    *,
    comparison: Comparison | None,
    transfer: Comparison | None,
    findings: tuple[Finding, ...],
    criteria: Criteria,
    unread: str,
) -> Judged:
    reason = group.skip_reason
    if reason is not None:
        return Judged(group, Verdict("skipped", missing=reason), comparison, transfer)
    if any(one.hard for one in findings):
        verdict = Verdict("failure", reasons=findings, missing=group.lacking)
    elif group is section.baseline:
        verdict = Verdict("baseline", reasons=findings, missing=group.lacking)
    elif comparison is None:
        verdict = Verdict("inconclusive", reasons=findings, missing=_no_baseline(section))
    else:
        verdict = _decide(group, comparison, findings, criteria, unread)
    return Judged(group, verdict, comparison, transfer)


def _decide(
    group: Group,
    comparison: Comparison,
    findings: tuple[Finding, ...],
    criteria: Criteria,
    unread: str,
) -> Verdict:
    margin = margin_of(group.metric, criteria) if group.metric else criteria.margin
    direction = comparison.direction(margin, criteria.alpha)
    if direction:
        return Verdict("success" if direction > 0 else "failure", reasons=findings)
    gain = comparison.gain or 0.0
    arrow: Arrow = "↑" if gain > 0 else "↓" if gain < 0 else ""
    missing = comparison.missing(margin, criteria.alpha, unread)
    return Verdict("inconclusive", arrow=arrow, reasons=findings, missing=missing)


def _no_baseline(section: Section) -> str:
    name = section.baseline_name
    for group in section.groups:
        if group.strategy == name:
            return f"no baseline: {name} was skipped ({group.skip_reason})"
    return f"no baseline: add --strategy {name}"
