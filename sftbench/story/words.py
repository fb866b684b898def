"""The words and numbers that the text and the page of a story share; nothing here is escaped."""

from __future__ import annotations

from collections.abc import Iterator

from sftbench.records import MetricSpec
from sftbench.report.wording import NONE, number
from sftbench.story.curves import Curve, mean_curve, rise_of
from sftbench.story.measured import Measured
from sftbench.story.tell import Story
from sftbench.verdicts.comparisons import Comparison

SERIES = {
    "train_loss": "train loss",
    "val_loss": "validation loss",
    "val_metric": "validation",
    "rate": "highest rate",
}


def verdict_text(story: Story) -> str:
    """Return the group's verdict with its arrow."""
    return f"{story.row.verdict.kind} {story.row.verdict.arrow}".strip()


def facts(story: Story) -> Iterator[tuple[str, str]]:
    """Yield what the table says of the group, by name."""
    row, metric = story.row, story.metric
    name = metric.name if metric else "metric"
    yield ("verdict" if story.seed is None else "verdict of its group", verdict_text(story))
    if story.row.verdict.missing:
        yield "what lacks", story.row.verdict.missing
    for one in row.verdict.reasons:
        yield one.reason, f"{one.seeds}: {one.text}" if one.seeds else one.text
    if story.seed is not None:
        own = next(one for one in story.cells if one.seed == story.seed)
        yield "this cell", f"{own.cell_id}, {own.status}"
        if own.value is not None:
            yield name, number(own.value, metric)
    if row.mean is not None:
        text = number(row.mean, metric)
        if row.seed_interval is not None:
            low, high = (number(end, metric) for end in row.seed_interval)
            text += f" [{low}, {high}]"
        yield f"{name}, mean", f"{text} over {row.num_completed} of {row.num_expected} seeds"
    elif row.mean_completed is not None:
        text = number(row.mean_completed, metric)
        seeds = f"{row.num_completed} of {row.num_expected} seeds"
        yield f"{name}, mean", f"none; {text} over the {seeds} that ended well"
    other = row.comparison
    if other is not None and other.estimate is not None and not other.lacking:
        yield f"difference to {other.against}", _difference(other, story.metric)
    if row.seconds is not None:
        peak = "" if row.peak_bytes is None else f", peak {row.peak_bytes / 1e6:.0f} MB"
        yield "cost of a cell", f"{row.seconds:.3g} s{peak}"


def _difference(one: Comparison, metric: MetricSpec | None) -> str:
    text = NONE if one.estimate is None else number(one.estimate, metric, signed=True)
    if one.interval is not None:
        ends = (one.interval.low, one.interval.high)
        low, high = (number(end, metric, signed=True) for end in ends)
        text += f" [{low}, {high}]"
    return text if one.p_adjusted is None else f"{text}, adjusted p {one.p_adjusted:.3g}"


def cell_rows(story: Story) -> Iterator[tuple[str, ...]]:
    """Yield seed, id, end, value and seconds of each cell of the group."""
    for one in story.cells:
        value = NONE if one.value is None else number(one.value, story.metric)
        seconds = NONE if one.seconds is None else f"{one.seconds:.3g}"
        mark = " <" if one.seed == story.seed else ""
        yield str(one.seed), one.cell_id, f"{one.status}{mark}", value, seconds


def told_curve(story: Story) -> tuple[Curve | None, str]:
    """Return the curve that stands for all, and whose it is."""
    if not story.curves:
        return None, ""
    if len(story.curves) == 1:
        return story.curves[0], f"seed {story.curves[0].seed}"
    mean = mean_curve(story.curves)
    if mean is not None:
        return mean, f"mean of {len(story.curves)} seeds"
    first = story.curves[0]
    return first, f"seed {first.seed}; seeds were not measured at the same epochs"


def curve_text(curve: Curve, name: str) -> str:
    """Return in words how one series went: its ends, and where it was best."""
    found = curve.series(name)
    if not found:
        return "not measured"
    values = [value for _, value in found]
    if len(values) == 1:
        return f"{values[0]:.3g}"
    if name == "rate":
        epoch, peak = max(found, key=lambda one: one[1])
        return f"{peak:.3g} at epoch {epoch:.3g}, {values[-1]:.3g} at the end"
    text = f"{values[0]:.3g} to {values[-1]:.3g}"
    rise = rise_of(curve) if name == "val_loss" else None
    if rise is not None and rise.least_epoch < rise.last_epoch:
        text += f", least {rise.least:.3g} at epoch {rise.least_epoch:.3g}"
    return text


def stages_text(curve: Curve) -> str:
    """Return the stages and where each begins."""
    return ", ".join(f"{name} from epoch {begin:.3g}" for name, begin in curve.stages)


def criterion_cells(one: Measured) -> list[str]:
    """Return name, quantity, number with its threshold, whether it is met, and by how much."""
    met = f"{met_text(one)} ({one.seeds})" if one.seeds else met_text(one)
    found = f"{figure(one.reading.found)} ({threshold_text(one)})"
    return [one.name, one.reading.what, found, met, beyond_text(one)]


def met_text(one: Measured) -> str:
    """Return whether a criterion is met."""
    return "met" if one.is_met else "not met"


def threshold_text(one: Measured) -> str:
    """Return where a criterion would be met."""
    return f"met {one.reading.relation} {figure(one.reading.limit)}"


def beyond_text(one: Measured) -> str:
    """Return how far the number is beyond its threshold, with its sign."""
    return f"{one.reading.by + 0.0:+.3g}"


def figure(value: float) -> str:
    """Return a number to three figures."""
    return f"{value:.3g}"


def share(value: float | None, *, signed: bool = False) -> str:
    """Return a proportion to two decimals, or a dash."""
    if value is None:
        return NONE
    return f"{value:+.2f}" if signed else f"{value:.2f}"


def calibration_rows(story: Story) -> Iterator[tuple[str, ...]]:
    """Yield quantity, before and after temperature scaling."""
    found = story.calibration
    if found is None:
        return
    before, after = found.before, found.after
    for name, first, second in (
        ("ECE (15 equal bins)", before.ece, None if after is None else after.ece),
        ("negative log likelihood, nats", before.nll, None if after is None else after.nll),
    ):
        yield name, f"{first:.3f}", NONE if second is None else f"{second:.3f}"


def calibration_lead(story: Story) -> str:
    """Return whose temperatures were fitted, and where."""
    found = story.calibration
    if found is None:
        return ""
    if found.temperature is None:
        return "no validation outputs are kept, so no temperature was fitted"
    low, high = min(found.temperatures.values()), max(found.temperatures.values())
    spread = "" if low == high else f" ({low:.2f} to {high:.2f})"
    number_ = len(found.temperatures)
    seeds = "1 seed" if number_ == 1 else f"{number_} seeds"
    return (
        f"temperature {found.temperature:.2f}{spread}, fitted on the validation outputs of "
        f"{seeds}; the predicted classes stay"
    )
