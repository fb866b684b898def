"""A story for a terminal or a pipe, of at most as many columns as asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sftbench.names import one_line
from sftbench.report.contrast_blocks import Block, Drawing, Facts, Grid, Heading, Line
from sftbench.report.contrast_text import plain_blocks, render_blocks
from sftbench.story import words
from sftbench.story.confusion import Confusion
from sftbench.story.tell import Story

if TYPE_CHECKING:
    from rich.console import RenderableType

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 40
_MOST_CLASSES = 10
_MOST_PAIRS = 6
_MOST_MISTAKES = 8
_ROOMY = 80


def render_story(story: Story, width: int = 100) -> RenderableType:
    """Return a story as a rich renderable of at most `width` columns."""
    return render_blocks(story_blocks(story, width), width)


def plain_story(story: Story, width: int = 100) -> str:
    """Return the same as text without any escape sequence."""
    return plain_blocks(story_blocks(story, width), width)


def story_blocks(story: Story, width: int = 100) -> Iterator[Block]:
    """Yield the parts of a story in their order."""
    title, protocol = story.section
    yield Heading(story.title, 1)
    yield Line(title)
    yield Line(protocol)
    yield Facts(tuple(words.facts(story)))
    yield from _ends(story)
    yield from _curves(story)
    yield from _classes(story, width)
    for problem in story.unread:
        yield Heading("Predictions", 2)
        yield Line(f"no classes from predictions: {problem}")
    yield from _confusion(story.confusion, width)
    yield from _mistakes(story, width)
    yield from _calibration(story)
    yield from _criteria(story, width)
    yield from _advice(story)
    name = story.metric.name if story.metric else "metric"
    yield Heading("The group's cells" if story.seed is not None else "Cells", 2)
    yield Grid(("seed", "cell", "end", name, "s"), tuple(words.cell_rows(story)), frozenset({1, 2}))
    if story.notes:
        yield Heading("Notes", 2)
        for note in story.notes:
            yield Line(note)


def sparkline(values: Sequence[float]) -> str:
    """Return a line of bars; of more than 40 values each bar is the mean of some."""
    if not values:
        return ""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(len(values), _MOST_BARS))
    means = np.array([part.mean() for part in parts])
    low, high = float(means.min()), float(means.max())
    if high <= low:
        return _BARS[len(_BARS) // 2] * len(means)
    places = np.rint((means - low) / (high - low) * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[place] for place in places)


def _ends(story: Story) -> Iterator[Block]:
    if not story.ends:
        return
    yield Heading("Cells that did not end well", 2)
    for one in story.ends:
        tries = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        yield Line(f"seed {one.seed}, {one.cell_id}: {one.status} after {tries}: {one.what}")
        yield Line(f"known by then: {'; '.join(one.known)}")
        if one.last_lines:
            yield Drawing(one.last_lines)


def _curves(story: Story) -> Iterator[Block]:
    yield Heading("What happened when", 2)
    curve, whose = words.told_curve(story)
    if curve is None:
        yield Line("nothing of the training is recorded")
        return
    yield Line(f"{whose}: {words.stages_text(curve)}")
    rows = [
        (
            label,
            sparkline([value for _, value in curve.series(name)]),
            words.curve_text(curve, name),
        )
        for name, label in words.SERIES.items()
        if curve.series(name)
    ]
    yield Grid(("", "", "from the first to the last"), tuple(rows), frozenset({0, 1, 2}))


def _classes(story: Story, width: int) -> Iterator[Block]:
    if not story.classes:
        return
    num = len(story.classes)
    order = "the most suffered first" if story.compared else "the worst first"
    yield Heading(f"Classes, {order}", 2)
    has_score = any(one.score is not None for one in story.classes)
    rows = [
        (
            _name(one.label, width),
            f"{one.train_count:.0f}",
            f"{one.support:.0f}",
            words.share(one.recall),
            *([words.share(one.score)] if has_score else []),
            *(words.share(one.against[other], signed=True) for other in story.compared),
        )
        for one in story.classes[:_MOST_CLASSES]
    ]
    score = ["score"] if has_score else []
    others = [f"to {one_line(other, 40)}" for other in story.compared]
    headings = ("class", "train", "test", "recall", *score, *others)
    yield Grid(headings, tuple(rows), frozenset({0}))
    if num > _MOST_CLASSES:
        yield Line(f"and {num - _MOST_CLASSES} more")


def _confusion(found: Confusion | None, width: int) -> Iterator[Block]:
    if found is None:
        return
    seeds = "1 seed" if found.num_seeds == 1 else f"{found.num_seeds} seeds"
    yield Heading("Confusions", 2)
    yield Line(f"{found.num_errors} errors among {int(found.counts.sum())} answers of {seeds}")
    if 2 < len(found.labels) <= _MOST_CLASSES:
        yield Line("percent of each class (row) that was taken for another (column)")
        yield Grid(*_matrix(found, width), frozenset({0}))
    pairs = tuple(
        (
            _name(one.truth, width),
            _name(one.predicted, width),
            str(one.count),
            f"{100 * one.share:.0f} %",
            f"{100 * one.share_of_errors:.0f} %",
        )
        for one in found.pairs(_MOST_PAIRS)
    )
    if pairs:
        headings = ("class", "taken for", "times", "of the class", "of all errors")
        yield Grid(headings, pairs, frozenset({0, 1}))


def _matrix(found: Confusion, width: int) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    support = np.maximum(found.counts.sum(axis=1, keepdims=True), 1)
    percent = np.rint(100 * found.counts / support).astype(int)
    numbers = range(len(found.labels))
    headings = ("", *(str(number) for number in numbers))
    rows = tuple(
        (
            f"{row} {_name(found.labels[row], width)}",
            *(
                str(percent[row, column]) if found.counts[row, column] else "."
                for column in numbers
            ),
        )
        for row in numbers
    )
    return headings, rows


def _mistakes(story: Story, width: int) -> Iterator[Block]:
    if not story.mistakes:
        return
    yield Heading("Worst errors", 2)
    yield Line("test examples that most seeds had wrong, the most confident first")
    rows = tuple(
        (
            str(one.index),
            _name(one.truth, width),
            _name(one.predicted, width),
            words.share(one.confidence),
            f"{one.wrong_in} of {one.num_seeds}",
        )
        for one in story.mistakes[:_MOST_MISTAKES]
    )
    yield Grid(("index", "class", "taken for", "confidence", "seeds"), rows, frozenset({1, 2}))


def _calibration(story: Story) -> Iterator[Block]:
    rows = tuple(words.calibration_rows(story))
    if not rows:
        return
    yield Heading("Calibration", 2)
    yield Line(words.calibration_lead(story))
    yield Grid(("", "before", "after scaling"), rows, frozenset({0}))


def _criteria(story: Story, width: int) -> Iterator[Block]:
    for heading, found in (
        ("What a success needs", story.success),
        ("Reasons: what was measured", story.reasons),
    ):
        if not found:
            continue
        yield Heading(heading, 2)
        headings = ["", "quantity", "found", "", "beyond by"]
        first = 1 if found is story.success else 0
        rows = [tuple(words.criterion_cells(one)[first:]) for one in found]
        if width < _ROOMY:
            yield from (Line(_sentence(row)) for row in rows)
        else:
            last = len(headings) - first - 1
            yield Grid(tuple(headings[first:]), tuple(rows), frozenset(range(last)))


def _sentence(row: Sequence[str]) -> str:
    *first, found, met, by = row
    return f"{': '.join(first)}: {found}, {met}, beyond by {by}"


def _advice(story: Story) -> Iterator[Block]:
    yield Heading("What to try next", 2)
    if not story.advice:
        yield Line("nothing that these records speak for")
    rows = []
    for place, one in enumerate(story.advice, start=1):
        change = f" [{one.change}]" if one.change else ""
        rows += [(f"{place}.", f"{one.what}{change}"), ("", f"because: {one.because}")]
    if rows:
        yield Facts(tuple(rows))


def _name(label: str, width: int) -> str:
    return one_line(label, 28 if width >= _ROOMY else 20)
