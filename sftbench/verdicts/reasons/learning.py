"""Hard reasons of what a cell learned: nothing at all, or nothing of the small classes."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from sftbench.evaluation.groups import rank_groups
from sftbench.names import shown
from sftbench.records import Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts
from sftbench.verdicts.reasons.finding import Finding
from sftbench.verdicts.statistics import lower_bound, ratio_shortfall_upper, upper_bound


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
    balanced, balanced_low = balanced_bound(counts, criteria.level)
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


def balanced_bound(counts: ClassCounts, level: float) -> tuple[float, float]:
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
