"""What holds for a group: of its seeds' reasons, of how they spread, and against other groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sftbench.verdicts.comparisons import Comparison, margin_of
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts, Group
from sftbench.verdicts.reasons.finding import Finding
from sftbench.verdicts.statistics import binomial_standard_error


def hold_over_seeds(
    findings: Mapping[int, tuple[Finding, ...]],
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the findings that more than half of the seeds share, and those that fewer do.

    Both in the order in which a seed has them.

    Args:
        findings: By seed, for every seed with a record that counts; empty where nothing was met.
    """
    met: dict[str, list[tuple[int, Finding]]] = {}
    for seed, each in sorted(findings.items()):
        for one in each:
            met.setdefault(one.reason, []).append((seed, one))
    most: list[Finding] = []
    some: list[Finding] = []
    for found in met.values():
        seed, first = found[0]
        shared = replace(
            first,
            seeds=f"{len(found)} of {len(findings)} seeds",
            text=first.text if len(findings) == 1 else f"seed {seed}: {first.text}",
        )
        (most if 2 * len(found) > len(findings) else some).append(shared)
    return tuple(most), tuple(some)


def unstable(
    some: tuple[Finding, ...], counts: Mapping[int, ClassCounts], criteria: Criteria
) -> Finding | None:
    """Seeds disagree: some but not most met a hard reason, or they spread too far.

    Args:
        some: Reasons that some but not most seeds met; the hard ones count.
        counts: By completed seed, for the spread of accuracy.
        criteria: `unstable_factor`.
    """
    parts = [f"{one.reason} in {one.seeds} ({one.text})" for one in some if one.hard]
    spread = _spread(counts, criteria)
    if spread:
        parts.append(spread)
    return Finding("UNSTABLE", hard=False, text="; ".join(parts)) if parts else None


def negative_transfer(
    group: Group, transfer: Comparison | None, criteria: Criteria
) -> Finding | None:
    """It is significantly, and by the margin, worse than training from random weights."""
    if transfer is None or group.metric is None or transfer.interval is None:
        return None
    if transfer.direction(margin_of(group.metric, criteria), criteria.alpha) >= 0:
        return None
    low, high = transfer.interval.low, transfer.interval.high
    return Finding(
        "NEGATIVE_TRANSFER",
        hard=True,
        text=f"{group.metric.name} {transfer.estimate:+.3f} [{low:+.3f}, {high:+.3f}] against "
        f"{transfer.against}, adjusted p {transfer.p_adjusted:.3g} over {transfer.num_family}",
        seeds=f"{transfer.num_pairs} seeds",
    )


def _spread(counts: Mapping[int, ClassCounts], criteria: Criteria) -> str:
    if len(counts) < 2:
        return ""
    accuracies = [float(one.hits.sum() / one.support.sum()) for one in counts.values()]
    deviation = float(np.std(accuracies, ddof=1))
    num_examples = min(int(one.support.sum()) for one in counts.values())
    error = binomial_standard_error(float(np.mean(accuracies)), num_examples)
    if not deviation > criteria.unstable_factor * error:
        return ""
    return (
        f"accuracy from {min(accuracies):.3f} to {max(accuracies):.3f}, SD over seeds "
        f"{deviation:.3f} > {criteria.unstable_factor:g} x binomial error {error:.3f}"
    )
