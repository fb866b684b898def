"""Advice that names other strategies: those of the section, and those said to mend a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sftbench.names import one_line
from sftbench.report.aggregate import Row
from sftbench.story.facts import Advice, Facts

_CHEAP = 4  # times cheaper, to be worth a word
_NEAR_MARGINS = 5  # as many margins worse at most, to be near
_MOST_NAMED = 4


def better_here(facts: Facts) -> Sequence[Advice]:
    """Another strategy of the section has a better mean, by the margin or more."""
    rows = [(gain, row) for row in facts.section.rows if (gain := facts.gain(row)) is not None]
    gain, other = max(rows, key=lambda one: one[0], default=(0.0, facts.row))
    if gain < facts.margin or other.mean is None or facts.row.mean is None:
        return ()
    return [
        Advice(
            what=f"{_label(other)} is the best of this section",
            because=(
                f"{facts.metric} {facts.value(other.mean)} over {other.num_completed} seeds, "
                f"{facts.value(facts.row.mean)} here{_cost(facts, other)}"
            ),
        )
    ]


def cheaper_near(facts: Facts) -> Sequence[Advice]:
    """Another strategy comes near at a small part of the time."""
    near: list[tuple[float, float, Row]] = []
    for row in facts.section.rows:
        gain = facts.gain(row)
        if gain is None or not row.seconds or not facts.row.seconds:
            continue
        ratio = facts.row.seconds / row.seconds
        # One that is better by the margin is told of already.
        if ratio >= _CHEAP and -_NEAR_MARGINS * facts.margin <= gain < facts.margin:
            near.append((gain, ratio, row))
    if not near:
        return ()
    gain, ratio, other = max(near, key=lambda one: (one[0], one[1]))
    if other.mean is None or facts.row.mean is None or other.seconds is None:
        return ()
    return [
        Advice(
            what=f"{_label(other)} costs far less",
            because=(
                f"{_label(other)} reached {facts.metric} {facts.value(other.mean)} at "
                f"1/{ratio:.0f} of the cost ({other.seconds:.3g} s a cell"
                f"{_reused(facts, other)}); this reached {facts.value(facts.row.mean)} in "
                f"{facts.row.seconds:.3g} s"
            ),
        )
    ]


def remedies(facts: Facts) -> Sequence[Advice]:
    """For each reason that holds: strategies here that do not meet it, and untried ones."""
    found = []
    for reason in facts.reasons:
        meant = facts.remedies.get(reason, ())
        here = {part for row in facts.section.rows for part in row.strategy.split("+")}
        untried = [name for name in meant if name.partition(":")[0] not in here]
        better = [row for row in facts.section.rows if _mends(facts, row, reason)]
        if better:
            names = ", ".join(_label(row) for row in better[:_MOST_NAMED])
            told = "; ".join(_told(facts, row) for row in better[:_MOST_NAMED])
            found.append(
                Advice(
                    what=f"against {reason}: {names}, here in the store",
                    because=f"without that reason: {told}; this one: {_told(facts, facts.row)}",
                )
            )
        if untried:
            names = ", ".join(one_line(name, 60) for name in untried[:_MOST_NAMED])
            more = len(untried) - _MOST_NAMED
            found.append(
                Advice(
                    what=f"against {reason}, not tried here: {names}"
                    + (f" and {more} more" if more > 0 else ""),
                    because=facts.evidence(reason),
                    change=_change(untried),
                )
            )
    return found


def _change(names: Sequence[str]) -> str:
    """Return the words that try the first strategy that needs no parameter."""
    plain = next((name for name in names if ":" not in name), None)
    return "" if plain is None else f"--strategy {one_line(plain, 60)}"


def _mends(facts: Facts, row: Row, reason: str) -> bool:
    """Whether a row is no worse by the margin, without this reason and any hard one."""
    gain = facts.gain(row)
    if row.label == facts.row.label or row.mean is None:
        return False
    if gain is not None and gain < -facts.margin:
        return False
    return not any(one.hard or one.reason == reason for one in row.verdict.reasons)


def _told(facts: Facts, row: Row) -> str:
    mean = "none" if row.mean is None else facts.value(row.mean)
    parts = [f"{_label(row)} {facts.metric} {mean}"]
    if row.worst_recall is not None:
        parts.append(f"worst class {row.worst_recall:.2f}")
    parts += [one.reason for one in row.verdict.reasons]
    return ", ".join(parts)


def _cost(facts: Facts, other: Row) -> str:
    mine = facts.row
    if not mine.seconds or not other.seconds:
        return ""
    ratio = other.seconds / mine.seconds
    if math.isclose(ratio, 1.0, rel_tol=0.1):
        return ", at the same cost"
    told = f"{_times(ratio)} x the cost" if ratio > 1 else f"1/{_times(1 / ratio)} of the cost"
    return f", at {told}{_reused(facts, other)}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}"


def _reused(facts: Facts, row: Row) -> str:
    return "; its features were there already" if row.label in facts.reused else ""


def _label(row: Row) -> str:
    return one_line(row.label, 80)
