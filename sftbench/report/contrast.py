"""Two groups side by side, in words and numbers that every rendering shares; nothing is escaped."""

from __future__ import annotations

from collections.abc import Iterator

from sftbench.records import MetricSpec
from sftbench.report.contrast_blocks import (
    Block,
    Facts,
    Grid,
    Heading,
    Line,
    figure,
    figure_or_none,
    gap_text,
    interval_text,
    p_text,
)
from sftbench.report.contrast_datasets import across_blocks
from sftbench.report.wording import NONE
from sftbench.verdicts.comparisons import margin_of
from sftbench.verdicts.contrast import SectionContrast, Side
from sftbench.verdicts.datasets import Contrast
from sftbench.verdicts.examples import ClassDifference

_MOST_CLASSES = 12
_LONGEST_HEADING = 12
_ARROWS = {1: " ↑", -1: " ↓", 0: ""}


def blocks(contrast: Contrast, width: int = 100) -> Iterator[Block]:
    """Yield what is said of two groups, section by section, then over data sets.

    Args:
        contrast: The two groups.
        width: Columns that a drawing may have.
    """
    for section in contrast.sections:
        yield from _section(contrast, section)
    for across in contrast.across:
        yield from across_blocks(contrast, across, width)
    for remark in contrast.remarks:
        yield Line(f"note: {remark}")


def conclusion(section: SectionContrast) -> str:
    """Return the outcome as one sentence."""
    a, b, metric = section.a.label, section.b.label, section.metric
    estimate = section.comparison.estimate
    told = "" if estimate is None else f"{metric.name} {figure(estimate, metric, signed=True)}"
    if section.outcome == "tied":
        return f"tied: {a} and {b} are equal in {len(section.seeds)} of {len(section.seeds)} seeds"
    if section.outcome != "inconclusive":
        return f"{a} is {section.outcome} than {b}: {told}"
    gain = section.comparison.gain or 0.0
    lacking = section.comparison.lacking
    if told and not lacking:
        told = f": {told}{_ARROWS[(gain > 0) - (gain < 0)]}"
    elif told:
        told = f": {told} over the {len(section.seeds)} seeds that both completed"
    return f"inconclusive ({section.missing}){told}"


def _section(contrast: Contrast, section: SectionContrast) -> Iterator[Block]:
    title = f"{section.backbone} · {section.weights} · {section.dataset} / {section.variant}"
    yield Heading(title, 1)
    yield Line(f"protocol {section.protocol} {section.protocol_digest}")
    yield Line(conclusion(section))
    yield Facts(tuple(_facts(contrast, section)))
    yield from _seeds(section)
    yield from _classes(contrast, section)
    yield from _examples(section)
    for remark in section.details.remarks:
        yield Line(f"note: {remark}")


def _facts(contrast: Contrast, section: SectionContrast) -> Iterator[tuple[str, str]]:
    metric, one, criteria = section.metric, section.comparison, contrast.criteria
    level = f"{100 * criteria.level:g} %"
    for letter, side in (("A", section.a), ("B", section.b)):
        yield f"{letter}: {side.label}", _side(side, metric)
    if one.lacking or one.estimate is None:
        return
    lower = ", lower is better" if metric.direction == "min" else ""
    yield "difference", f"{figure(one.estimate, metric, signed=True)} in {metric.name}{lower}"
    if section.seed_interval:
        ends = interval_text(section.seed_interval, metric)
        yield "on this test set", f"{ends} {level}: seeds vary"
    if one.interval:
        ends = interval_text((one.interval.low, one.interval.high), metric)
        yield "in the population", f"{ends} {level}: seeds and test examples vary"
    if one.p is not None and one.p_adjusted is not None:
        yield (
            "p",
            (
                f"{p_text(one.p)} by sign flips over {one.num_pairs} paired seeds; "
                f"{p_text(one.p_adjusted)} adjusted by Holm over {one.num_family}: {section.family}"
            ),
        )
    if section.effect:
        effect = section.effect
        yield (
            "effect size",
            (
                f"g {effect.hedges_g:+.2f} [{effect.low:+.2f}, {effect.high:+.2f}] standard "
                f"deviations of the paired differences (uncorrected {effect.d_z:+.2f}); above 0: "
                "A is better"
            ),
        )
    if section.improvement and section.all_pairs is not None:
        found = section.improvement
        yield (
            "A better",
            (
                f"in {found.wins} of {len(section.seeds)} seeds, {found.ties} tied: probability "
                f"{found.probability:.2f} [{found.low:.2f}, {found.high:.2f}] at the same seed, "
                f"{section.all_pairs:.2f} over all pairs of seeds"
            ),
        )
    if section.detectable is not None:
        yield (
            "detectable",
            (
                f"{figure(section.detectable, metric)} in {metric.name}: a true difference that "
                f"{one.num_pairs} seeds find (adjusted p < {criteria.alpha:g}) with 80 % power"
            ),
        )
    margin = figure(margin_of(metric, criteria), metric)
    yield "rule", f"adjusted p < {criteria.alpha:g}, population without 0, at least {margin}"


def _side(side: Side, metric: MetricSpec) -> str:
    completed = f"{len(side.values)}/{side.num_expected} seeds"
    if side.mean is not None:
        text = f"{figure(side.mean, metric)} over {completed}"
    elif side.values:
        mean = figure(sum(side.values.values()) / len(side.values), metric)
        text = f"{NONE} ({mean} over {completed})"
    else:
        text = f"{NONE} ({completed})"
    if side.ends.keys() - {"ok"}:
        text += f"; ends: {', '.join(f'{count} {end}' for end, count in side.ends.items())}"
    reasons = ", ".join(
        f"{one.reason} ({one.seeds})" if one.seeds else one.reason for one in side.verdict.reasons
    )
    kind = f"{side.verdict.kind} {side.verdict.arrow}".strip()
    return f"{text}; in the table: {kind}{f': {reasons}' if reasons else ''}"


def _names(section: SectionContrast) -> tuple[str, str]:
    """Return what heads the columns of the two: labels where both are short, else letters."""
    labels = section.a.label, section.b.label
    return labels if max(map(len, labels)) <= _LONGEST_HEADING else ("A", "B")


def _class_gap(one: ClassDifference) -> str:
    text = figure(one.difference, None, signed=True)
    return text if one.interval is None else f"{text} {interval_text(one.interval, None)}"


def _seeds(section: SectionContrast) -> Iterator[Block]:
    metric, a, b = section.metric, section.a, section.b
    models = {one.seed: one for one in section.details.models}
    seeds = sorted(a.values.keys() | b.values.keys())
    if not seeds:
        return
    rows = []
    for seed in seeds:
        mine, theirs = a.values.get(seed), b.values.get(seed)
        row = [str(seed), figure_or_none(mine, metric), figure_or_none(theirs, metric)]
        row.append(NONE if mine is None or theirs is None else gap_text(mine - theirs, metric))
        one = models.get(seed)
        if models:
            row += [NONE] * 4 if one is None else [
                str(one.only_a), str(one.only_b), p_text(one.p), p_text(one.p_adjusted)
            ]  # fmt: skip
        rows.append(tuple(row))
    headings = ["seed", *_names(section), "A - B"]
    yield Heading("Seeds", 2)
    if models:
        headings += ["only A right", "only B right", "McNemar p", "by Holm"]
    yield Grid(tuple(headings), tuple(rows), frozenset())
    if models:
        yield Line(
            f"McNemar's exact test over {section.details.num_examples} test examples compares two "
            "models: it says nothing of another seed"
        )


def _classes(contrast: Contrast, section: SectionContrast) -> Iterator[Block]:
    if not section.details.classes:
        return
    level = f"{100 * contrast.criteria.level:g} %"
    yield Heading("Classes", 2)
    yield Grid(
        ("class", "train", "test", *_names(section), f"A - B [{level} of seeds]", "p by Holm"),
        tuple(
            (
                one.label,
                str(one.train_count),
                str(one.support),
                figure(one.mean_a, None),
                figure(one.mean_b, None),
                _class_gap(one),
                p_text(one.p_adjusted),
            )
            for one in section.details.classes[:_MOST_CLASSES]
        ),
        frozenset({0}),
    )
    more = len(section.details.classes) - _MOST_CLASSES
    if more > 0:
        yield Line(f"and {more} classes with smaller differences: --format json has them all")
    needed = section.details.class_seeds_needed
    if needed is not None and len(section.seeds) < needed:
        yield Line(
            f"with {len(section.seeds)} seeds no p over {len(section.details.classes)} classes can "
            f"fall below {contrast.criteria.alpha:g}: it takes {needed}"
        )


def _examples(section: SectionContrast) -> Iterator[Block]:
    if not section.details.examples:
        return
    yield Heading("Test examples", 2)
    num_seeds = len(section.seeds)
    yield Grid(
        ("index", "class", "A right", "B right", "A takes it for", "B takes it for"),
        tuple(
            (
                str(one.index),
                one.label,
                f"{one.right_a}/{num_seeds}",
                f"{one.right_b}/{num_seeds}",
                one.said_a or NONE,
                one.said_b or NONE,
            )
            for one in section.details.examples
        ),
        frozenset({1, 4, 5}),
    )
    yield Line("index: place in the official test split; those that differ in most seeds")
