"""Hard reasons of how a cell ended: diverged, out of memory or time, crashed."""

from __future__ import annotations

from sftbench.names import one_line, shown
from sftbench.records import HistoryRow, Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import ClassCounts
from sftbench.verdicts.reasons.finding import Finding

# Its chance level is the loss of a uniform guess, log C.
_LIKELIHOOD = "nll"


def diverged(record: Record, _counts: ClassCounts | None, criteria: Criteria) -> Finding | None:
    """Training left the finite numbers, or its loss ended far above that of knowing nothing.

    The first row of a stage is the loss of its first batch, before anything was learned in it. One
    batch may be a lucky one, and a stage may begin with a network that is already trained: its
    loss then rises a little, and nothing is wrong. So the last row is compared with the largest of
    three losses that stand for knowing nothing: the first of training, the first of the last
    stage (whose loss may have another unit than the first stage's), and, where outputs are
    probabilities of classes, that of a uniform guess.
    """
    if record.status == "diverged":
        return Finding("DIVERGED", hard=True, text=_error(record))
    rows = [row for row in record.history if row.train_loss is not None]
    if record.status != "ok" or not rows:
        return None
    last = rows[-1]
    begun = next(row for row in rows if row.stage == last.stage)
    if begun is last:
        return None  # a solver notes its end alone
    limit, what = max(ignorant_losses(record, rows[0], begun), key=lambda one: one[0])
    loss = _loss(last)
    if not loss > criteria.divergence_factor * limit > 0:
        return None
    return Finding(
        "DIVERGED",
        hard=True,
        text=f"train loss {loss:.3g} at epoch {last.epoch:.3g} of stage {shown(last.stage)}, more "
        f"than {criteria.divergence_factor:g} x {limit:.3g}, {what}",
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


def ignorant_losses(
    record: Record, first: HistoryRow, begun: HistoryRow
) -> list[tuple[float, str]]:
    """Return the losses of a network that knows nothing yet, and what each is."""
    found = [
        (_loss(first), "the first of training"),
        (_loss(begun), "the first of the stage"),
    ]
    guess = next((spec.chance for spec in record.metric_specs if spec.name == _LIKELIHOOD), None)
    return found if guess is None else [*found, (guess, "that of a uniform guess")]


def _loss(row: HistoryRow) -> float:
    return row.train_loss or 0.0


def _error(record: Record) -> str:
    if record.error is None:
        return "no message"
    return one_line(f"{record.error.type}: {record.error.message}", 200)
