"""Why a cell or a group counts as a failure: pure functions of what the records hold.

A cell's reason looks at one seed; `hold_over_seeds` says what holds for the group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from sftbench.evaluation.groups import rank_groups
from sftbench.names import one_line, shown
from sftbench.records import Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts
from sftbench.verdicts.statistics import (
    binomial_standard_error,
    lower_bound,
    ratio_shortfall_upper,
    upper_bound,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason that was met.

    Attributes:
        reason: Its name.
        hard: Whether it makes a failure.
        text: The evidence in words, with numbers.
        seeds: How many of the seeds that count, `7 of 7 seeds`; empty for one cell.
    """

    reason: str
    hard: bool
    text: str
    seeds: str = ""


CellReason = Callable[[Record, ClassCounts | None, Criteria], Finding | None]


def diverged(record: Record, _counts: ClassCounts | None, criteria: Criteria) -> Finding | None:
    """Training left the finite numbers, or its loss rose over the last stage.

    The first row of a stage is the loss of its first batch, before anything was learned.
    """
    if record.status == "diverged":
        return Finding("DIVERGED", hard=True, text=_error(record))
    if record.status != "ok" or not record.history:
        return None
    stage = record.history[-1].stage
    losses = [
        row.train_loss
        for row in record.history
        if row.stage == stage and row.train_loss is not None
    ]
    if len(losses) < 2 or not losses[-1] > criteria.divergence_factor * losses[0] > 0:
        return None
    return Finding(
        "DIVERGED",
        hard=True,
        text=f"train loss {losses[-1]:.3g} at the end of stage {shown(stage)}, {losses[0]:.3g} at "
        f"its start (more than {criteria.divergence_factor:g} x)",
    )


def resource(record: Record, _counts: ClassCounts | None, _criteria: Criteria) -> Finding | None:
    """The cell ran out of memory or time."""
    words = {"out_of_memory": "out of memory", "timed_out": "timed out"}
    if record.status not in words:
        return None
    return Finding("RESOURCE", hard=True, text=f"{words[record.status]}: {_error(record)}")


def crashed(record: Record, _counts: ClassCounts | None, _criteria: Criteria) -> Finding | None:
    """The worker died, or an exception ended the cell."""
    if record.status not in ("crashed", "failed"):
        return None
    return Finding("CRASHED", hard=True, text=f"{record.status}: {_error(record)}")


def no_learning(record: Record, counts: ClassCounts | None, criteria: Criteria) -> Finding | None:
    """Neither accuracy nor balanced accuracy is surely above what needs no input.

    A model that ignores its input reaches at most the majority share in accuracy, and 1/C in
    balanced accuracy. Each is a bar of its own, so one of them passed is learning: on an imbalanced
    test split a model for the small classes may stay under the majority share, and one for the
    large classes at 1/C. Bounds are one-sided: Clopper-Pearson for accuracy; for balanced accuracy
    the normal bound over the recalls of classes, with the binomial variance of each recall after
    Agresti & Coull's added trials (without them recalls of 0 and 1 have no variance).
    """
    if record.status != "ok" or counts is None:
        return None
    hits, total = int(counts.hits.sum()), int(counts.support.sum())
    majority = float(counts.support.max()) / total
    low = lower_bound(hits, total, criteria.level)
    balanced, balanced_low = _balanced(counts, criteria.level)
    chance = 1.0 / len(counts.labels)
    if low > majority or balanced_low > chance:
        return None
    level = f"{100 * criteria.level:g} %"
    return Finding(
        "NO_LEARNING",
        hard=True,
        text=f"accuracy {hits / total:.3f} (lower {level} bound {low:.3f} <= majority share "
        f"{majority:.3f}) and balanced accuracy {balanced:.3f} (lower bound {balanced_low:.3f} <= "
        f"chance {chance:.3f})",
    )


def minority_collapse(
    record: Record, counts: ClassCounts | None, criteria: Criteria
) -> Finding | None:
    """Imbalanced training only: a class is never found, or the tail half as often as the head.

    The worst class is the one with the lowest recall; among equals, the one with most support.
    """
    if record.status != "ok" or counts is None:
        return None
    trained = [one.train_count for one in record.per_class]
    if max(trained) == min(trained) or max(trained) < criteria.imbalance_ratio * min(trained):
        return None
    found = [_worst_class(counts, len(trained), criteria), _short_tail(counts, criteria)]
    text = "; ".join(part for part in found if part)
    return Finding("MINORITY_COLLAPSE", hard=True, text=text) if text else None


CELL_REASONS: Mapping[str, CellReason] = {
    "DIVERGED": diverged,
    "RESOURCE": resource,
    "CRASHED": crashed,
    "NO_LEARNING": no_learning,
    "MINORITY_COLLAPSE": minority_collapse,
}
# What a record's end says needs no task: these apply where the task is not installed.
END_REASONS = frozenset({"DIVERGED", "RESOURCE", "CRASHED"})


def hold_over_seeds(
    findings: Mapping[int, tuple[Finding, ...]],
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the findings that more than half of the seeds share, and those that fewer do.

    Args:
        findings: By seed, for every seed with a record that counts; empty where nothing was met.
    """
    most: list[Finding] = []
    some: list[Finding] = []
    for reason in CELL_REASONS:
        met = [
            (seed, one)
            for seed, each in sorted(findings.items())
            for one in each
            if one.reason == reason
        ]
        if not met:
            continue
        seed, first = met[0]
        shared = replace(
            first,
            seeds=f"{len(met)} of {len(findings)} seeds",
            text=first.text if len(findings) == 1 else f"seed {seed}: {first.text}",
        )
        (most if 2 * len(met) > len(findings) else some).append(shared)
    return tuple(most), tuple(some)


def unstable(
    some: tuple[Finding, ...], counts: Mapping[int, ClassCounts], criteria: Criteria
) -> Finding | None:
    """Seeds disagree: some but not most met a hard reason, or they spread too far.

    Args:
        some: Hard reasons that some but not most seeds met.
        counts: By completed seed, for the spread of accuracy.
        criteria: `unstable_factor`.
    """
    parts = [f"{one.reason} in {one.seeds} ({one.text})" for one in some]
    spread = _spread(counts, criteria)
    if spread:
        parts.append(spread)
    return Finding("UNSTABLE", hard=False, text="; ".join(parts)) if parts else None


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


def _balanced(counts: ClassCounts, level: float) -> tuple[float, float]:
    """Return balanced accuracy and its one-sided lower bound."""
    z = float(ndtri(level))
    trials = counts.support + z * z
    share = (counts.hits + z * z / 2.0) / trials
    error = math.sqrt(float((share * (1.0 - share) / trials).sum())) / len(counts.labels)
    balanced = float(counts.recalls.mean())
    return balanced, balanced - z * error


def _worst_class(counts: ClassCounts, num_classes: int, criteria: Criteria) -> str:
    worst = int(np.lexsort((-counts.support, counts.recalls))[0])
    hits, support = int(counts.hits[worst]), int(counts.support[worst])
    high = upper_bound(hits, support, criteria.level)
    limit = criteria.collapse_share / num_classes
    if not high < limit:
        return ""
    return (
        f"worst class {shown(counts.labels[worst], 60)} recall {hits / support:.2f} (upper "
        f"{100 * criteria.level:g} % bound {high:.3f} < {limit:.3g})"
    )


def _short_tail(counts: ClassCounts, criteria: Criteria) -> str:
    parts = rank_groups(counts.train)
    if parts is None or not parts["head"] or not parts["tail"]:
        return ""
    (tail_hits, tail), (head_hits, head) = (
        (int(counts.hits[parts[name]].sum()), int(counts.support[parts[name]].sum()))
        for name in ("tail", "head")
    )
    shortfall = ratio_shortfall_upper(tail_hits, tail, head_hits, head, criteria.level)
    if not shortfall < 0.0:
        return ""
    return (
        f"tail recall {tail_hits / tail:.2f} under half of head recall {head_hits / head:.2f} "
        f"(upper {100 * criteria.level:g} % bound of tail - head/2 {shortfall:.3f} < 0)"
    )


def _error(record: Record) -> str:
    if record.error is None:
        return "no message"
    return one_line(f"{record.error.type}: {record.error.message}", 200)
