"""Advice that keeps the strategy: other settings, more seeds, another look at the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sftbench.names import one_line
from sftbench.story.facts import Advice, Facts

_CONFUSED_SHARE = 0.15


def fewer_epochs(facts: Facts) -> Sequence[Advice]:
    """Validation loss was least before the end, and rose by more than OVERFIT allows."""
    risen = [
        rise
        for rise in facts.rises.values()
        if rise.ratio is not None and rise.ratio > facts.criteria.overfit_rise
    ]
    if 2 * len(risen) <= len(facts.rises):
        return ()
    best = sum(rise.least_epoch for rise in risen) / len(risen)
    worst = max(risen, key=lambda rise: rise.ratio or 0.0)
    return [
        Advice(
            what="fewer epochs: validation loss rose before the end",
            because=(
                f"in {len(risen)} of {len(facts.rises)} seeds; least at epoch {best:.2g} of "
                f"{worst.last_epoch:.2g} on average; in the steepest from {worst.least:.3g} to "
                f"{worst.last:.3g} ({worst.ratio:.2f} x)"
            ),
            change=f"--epochs {best:.2g}" if best >= 0.1 else "",
        )
    ]


def smaller_rate(facts: Facts) -> Sequence[Advice]:
    """It diverged: a part of the rate that it was trained with."""
    if "DIVERGED" not in facts.reasons:
        return ()
    rates = [row.rate for one in facts.records.values() for row in one.history if row.rate > 0]
    evidence = facts.evidence("DIVERGED")
    if not rates:
        return [Advice("a smaller rate, a tenth of this one", evidence)]
    peak = max(rates)
    protocol = facts.section.protocol
    change = "--tune lr_scale=0.03,0.1,0.3,1" if protocol.validation_fraction else ""
    return [
        Advice(
            what=f"smaller rates: a tenth of the highest seen is {peak / 10:.2g}",
            because=f"highest rate {peak:.3g}; {evidence}",
            change=change or f"--lr {peak / 10:.2g}",
        )
    ]


def more_learning(facts: Facts) -> Sequence[Advice]:
    """It learned nothing: either training did not, or what was trained does not carry over."""
    if "NO_LEARNING" not in facts.reasons:
        return ()
    pairs = []
    for record in facts.records.values():
        losses = [row.train_loss for row in record.history if row.train_loss is not None]
        if len(losses) > 1 and losses[0] > 0:
            pairs.append((losses[0], losses[-1]))
    if not pairs:
        return ()
    first, last = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    told = f"train loss {first:.3g} at first, {last:.3g} at last, mean of {len(pairs)} seeds"
    if last > 0.9 * first:
        change = "--tune lr_scale=0.1,1,10" if facts.section.protocol.validation_fraction else ""
        return [Advice("other rates or more epochs: not even training went on", told, change)]
    return [Advice("look at labels and data: training went on, the test split shows none", told)]


def less_memory_or_time(facts: Facts) -> Sequence[Advice]:
    """It ran out of memory or time: smaller batches or images, or a longer limit."""
    found = []
    protocol = facts.section.protocol
    if short := facts.ended.get("out_of_memory"):
        peak = max(one.memory.peak_device_bytes or one.memory.peak_rss_bytes for one in short)
        size = int(protocol.image_size) if isinstance(protocol.image_size, int) else 0
        smaller = f" or images of {size // 2} {facts.section.units[0]}" if size >= 16 else ""
        batch = max(2, protocol.batch_size // 2)
        found.append(
            Advice(
                what=f"batches of {batch}{smaller}",
                because=(
                    f"{len(short)} of {facts.row.num_expected} seeds ran out of memory with "
                    f"batches of {protocol.batch_size}, peak {peak / 1e6:.0f} MB"
                ),
                change=f"--batch-size {batch}",
            )
        )
    if late := facts.ended.get("timed_out"):
        told = next((one.error.message for one in late if one.error), "no message")
        found.append(
            Advice(
                what="a longer limit, or fewer epochs",
                because=f"{len(late)} of {facts.row.num_expected} seeds: {one_line(told)}",
                change=f"--epochs {protocol.epochs / 2:g}",
            )
        )
    return found


def try_again(facts: Facts) -> Sequence[Advice]:
    """Seeds crashed, or have no record."""
    found = []
    broken = [one for end in ("crashed", "failed") for one in facts.ended.get(end, [])]
    if broken:
        error = broken[0].error
        told = "no message" if error is None else one_line(f"{error.type}: {error.message}")
        found.append(
            Advice(
                "mend the cause, and run these cells again",
                f"{len(broken)} of {facts.row.num_expected} seeds, the first: {told}",
                "--retry-failed",
            )
        )
    missing = sum(facts.row.ends.get(end, 0) for end in ("missing", "interrupted"))
    if missing:
        told = f"{missing} of {facts.row.num_expected} seeds have no result"
        found.append(Advice("run the plan again: only what is missing runs", told))
    return found


def more_seeds(facts: Facts) -> Sequence[Advice]:
    """Too few seeds to decide, or seeds that disagree."""
    one = facts.row.comparison
    if one and one.seeds_needed and one.num_pairs < one.seeds_needed and not one.lacking:
        told = f"{one.num_pairs} paired seeds; for an adjusted p below {facts.criteria.alpha:g} "
        told += f"among {one.num_family} planned comparisons it takes {one.seeds_needed}"
        return [Advice("more seeds", told, f"--seeds {one.seeds_needed}")]
    if "UNSTABLE" not in facts.reasons or facts.row.seed_interval is None:
        return ()
    low, high = facts.row.seed_interval
    seeds = facts.row.num_expected
    told = f"mean between {facts.value(low)} and {facts.value(high)} over {seeds} seeds; four "
    return [Advice("more seeds", f"{told}times as many halve that", f"--seeds {4 * seeds}")]


def temperature(facts: Facts) -> Sequence[Advice]:
    """One number that divides all logits makes its confidence right."""
    found = facts.calibration
    if found is None or found.after is None or found.temperature is None:
        return ()
    limit = facts.criteria.calibration_error
    if found.before.ece <= limit or found.after.ece >= found.before.ece:
        return ()
    enough = "" if found.after.ece <= limit else f", still above {limit:g}"
    return [
        Advice(
            what=f"divide the logits by {found.temperature:.2f}: no prediction changes",
            because=(
                f"ECE {found.before.ece:.3f} becomes {found.after.ece:.3f}{enough}, mean over "
                f"{len(found.temperatures)} seeds, temperatures fitted on validation"
            ),
        )
    ]


def confused_pair(facts: Facts) -> Sequence[Advice]:
    """Two classes make up a large part of all errors."""
    found = facts.confusion
    if found is None or not found.num_errors or len(found.labels) < 3:
        return ()
    both = np.triu(found.counts + found.counts.T, 1)
    a, b = divmod(int(both.argmax()), len(found.labels))
    count = int(both[a, b])
    share = count / found.num_errors
    if share < _CONFUSED_SHARE:
        return ()
    first, second = one_line(found.labels[a], 60), one_line(found.labels[b], 60)
    return [
        Advice(
            what=f"look at examples of {first} and {second}, and at their labels",
            because=f"{100 * share:.0f} % of all errors take one for the other ({count} of "
            f"{found.num_errors} over {found.num_seeds} seeds)",
        )
    ]
