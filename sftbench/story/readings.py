"""What one cell measured beside the thresholds of the reasons, each met or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sftbench.evaluation.groups import rank_groups
from sftbench.records import Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts
from sftbench.verdicts.reasons import Anchor
from sftbench.verdicts.reasons.ends import ignorant_losses
from sftbench.verdicts.reasons.learning import balanced_bound
from sftbench.verdicts.reasons.soft import range_gap
from sftbench.verdicts.statistics import lower_bound, ratio_shortfall_upper, upper_bound

Relation = Literal["<", ">", "<=", ">="]
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Reading:
    """One number beside its threshold. A criterion is met where `found` stands so to `limit`."""

    what: str
    found: float
    relation: Relation
    limit: float

    @property
    def by(self) -> float:
        """How far it is beyond the threshold; below 0 where it is missed by so much."""
        beyond = self.found - self.limit
        return beyond if self.relation.startswith(">") else -beyond

    @property
    def is_met(self) -> bool:
        """Whether the number stands so to its threshold."""
        if self.relation.endswith("="):
            return self.by >= -_TOLERANCE
        return self.by > 0


Read = Callable[[Record, ClassCounts | None, Criteria, Anchor], Iterator[Reading]]


def _diverged(
    record: Record, _counts: ClassCounts | None, criteria: Criteria, _anchor: Anchor
) -> Iterator[Reading]:
    rows = [row for row in record.history if row.train_loss is not None]
    begun = next((row for row in rows if row.stage == rows[-1].stage), None)
    if begun is None or begun is rows[-1]:
        return
    ignorant = max(loss for loss, _ in ignorant_losses(record, rows[0], begun))
    if ignorant > 0:
        ratio = (rows[-1].train_loss or 0.0) / ignorant
        what = "last train loss over that of knowing nothing"
        yield Reading(what, ratio, ">", criteria.divergence_factor)


def _no_learning(
    _record: Record, counts: ClassCounts | None, criteria: Criteria, _anchor: Anchor
) -> Iterator[Reading]:
    """Both bars must be missed, so the one that is passed by more says it."""
    if counts is None:
        return
    hits, total = int(counts.hits.sum()), int(counts.support.sum())
    level = f"{100 * criteria.level:g} %"
    bars = (
        Reading(
            f"lower {level} bound of accuracy, against the majority share",
            lower_bound(hits, total, criteria.level),
            "<=",
            float(counts.support.max()) / total,
        ),
        Reading(
            f"lower {level} bound of balanced accuracy, against chance",
            balanced_bound(counts, criteria.level)[1],
            "<=",
            1.0 / len(counts.labels),
        ),
    )
    yield min(bars, key=lambda one: one.by)


def _collapse(
    record: Record, counts: ClassCounts | None, criteria: Criteria, _anchor: Anchor
) -> Iterator[Reading]:
    """Either is enough: the worst class is not found, or the tail half as often as the head."""
    trained = [one.train_count for one in record.per_class]
    if counts is None or max(trained) < criteria.imbalance_ratio * min(trained):
        return
    if max(trained) == min(trained):
        return
    worst = int(np.lexsort((-counts.support, counts.recalls))[0])
    level = f"{100 * criteria.level:g} %"
    yield Reading(
        f"upper {level} bound of the worst class's recall",
        upper_bound(int(counts.hits[worst]), int(counts.support[worst]), criteria.level),
        "<",
        criteria.collapse_share / len(trained),
    )
    parts = rank_groups(counts.train)
    if parts is None or not parts["head"] or not parts["tail"]:
        return
    tail, head = (
        (int(counts.hits[parts[name]].sum()), int(counts.support[parts[name]].sum()))
        for name in ("tail", "head")
    )
    what = f"upper {level} bound of tail recall less half of head recall"
    yield Reading(what, ratio_shortfall_upper(*tail, *head, criteria.level), "<", 0.0)


def _miscalibrated(
    record: Record, _counts: ClassCounts | None, criteria: Criteria, anchor: Anchor
) -> Iterator[Reading]:
    error = record.value("ece_scaled")
    if error is None:
        return
    yield Reading("ECE after temperature scaling", error, ">", criteria.calibration_error)
    base = anchor.calibration_error
    if base is not None:
        # Both must be passed: a multiple, and the margin, since twice nothing is nothing.
        factor, margin = criteria.calibration_factor * base, base + criteria.margin
        what = f"the same, against {criteria.calibration_factor:g} x that of {anchor.label}"
        if factor >= margin:
            yield Reading(what, error, ">", factor)
        else:
            what = f"the same, against that of {anchor.label} and the margin"
            yield Reading(what, error, ">=", margin)


def _overfit(
    record: Record, _counts: ClassCounts | None, criteria: Criteria, _anchor: Anchor
) -> Iterator[Reading]:
    """Both are needed, so the one that is further from its threshold, in shares of it, says it."""
    spec = record.primary
    losses = [row.val_loss for row in record.history if row.val_loss is not None]
    if spec is None or not losses or min(losses) <= 0:
        return
    train, test = record.value(spec.name, "train"), record.value(spec.name)
    if train is None or test is None:
        return
    rise, gap = losses[-1] / min(losses), range_gap(spec, train, test)
    bars = (
        Reading("last validation loss over its least", rise, ">", criteria.overfit_rise),
        Reading("train less test, of the metric's range", gap, ">", criteria.overfit_gap),
    )
    missed = [one for one in bars if not one.is_met]
    yield (missed or bars)[0]


def _forgetting(
    record: Record, _counts: ClassCounts | None, criteria: Criteria, _anchor: Anchor
) -> Iterator[Reading]:
    before, after = (record.value(f"accuracy_{when}", "source") for when in ("before", "after"))
    if before is not None and after is not None:
        yield Reading("loss of source accuracy", before - after, ">=", criteria.forgetting_drop)


def _fragile(
    record: Record, _counts: ClassCounts | None, criteria: Criteria, anchor: Anchor
) -> Iterator[Reading]:
    ratio = record.value("ratio", "corrupted")
    if ratio is not None and anchor.robustness is not None:
        what = f"share of accuracy under corruption, below that of {anchor.label}"
        yield Reading(what, anchor.robustness - ratio, ">=", criteria.fragile_drop)


CELL_READINGS: Mapping[str, Read] = {
    "DIVERGED": _diverged,
    "NO_LEARNING": _no_learning,
    "MINORITY_COLLAPSE": _collapse,
    "OVERFIT": _overfit,
    "MISCALIBRATED": _miscalibrated,
    "FORGETTING": _forgetting,
    "FRAGILE": _fragile,
}
