"""A story as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sftbench import __version__
from sftbench.names import one_line
from sftbench.pages.blocks import (
    Block,
    Cell,
    Column,
    DataTable,
    Facts,
    Figures,
    Gallery,
    Listing,
    Page,
    Picture,
    Row,
    Section,
    Text,
    Tone,
    Verbatim,
)
from sftbench.pages.page import render_page
from sftbench.story import words
from sftbench.story.figures import (
    MOST_CLASSES,
    confusion_figure,
    curve_figures,
    reliability_figures,
)
from sftbench.story.measured import Measured
from sftbench.story.mistakes import Mistake
from sftbench.story.tell import Story
from sftbench.thumbnails import Thumbnails

_MOST_PAIRS = 10


def story_page(story: Story, pictures: Thumbnails, store: Path) -> str:
    """Return the whole page.

    Args:
        story: What to tell.
        pictures: Of the worst errors, or why there are none.
        store: Where the records are, for the footer.
    """
    title, protocol = story.section
    sections = [section for section in _sections(story, pictures) if section is not None]
    return render_page(
        Page(
            title=one_line(story.title, 200),
            lead=f"{title}. Verdict: {words.verdict_text(story)}.",
            blocks=(Facts(pairs=tuple(words.facts(story))), *sections),
            footer=(
                protocol,
                (
                    f"sftbench explain {store}: every number is computed from the records and kept "
                    f"predictions of that store (sftbench {__version__})."
                ),
            ),
        )
    )


def _sections(story: Story, pictures: Thumbnails) -> Iterator[Section | None]:
    yield _ends(story)
    yield _advice(story)
    yield _curves(story)
    yield _classes(story)
    yield _confusion(story)
    yield _mistakes(story, pictures)
    yield _calibration(story)
    yield _criteria(story)
    yield _cells(story)
    if story.notes:
        yield Section(heading="Notes", id="notes", blocks=(Listing(lines=story.notes),))


def _ends(story: Story) -> Section | None:
    if not story.ends:
        return None
    blocks: list[Block] = []
    for one in story.ends:
        tries = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        parts: list[Block] = [
            Text(text=f"{one.status} after {tries}: {one.what}"),
            Listing(lines=one.known),
        ]
        if one.last_lines:
            parts.append(Text(text="The last lines of the traceback:", is_quiet=True))
            parts.append(Verbatim(lines=one.last_lines))
        blocks.append(Section(heading=f"Seed {one.seed}, {one.cell_id}", blocks=tuple(parts)))
    return Section(heading="Cells that did not end well", id="ends", blocks=tuple(blocks))


def _advice(story: Story) -> Section:
    pairs = tuple((one.what, f"{one.because}.{_change(one.change)}") for one in story.advice)
    nothing = Text(text="Nothing that these records speak for.")
    block = Facts(pairs=pairs) if pairs else nothing
    return Section(heading="What to try next", id="advice", blocks=(block,))


def _change(change: str) -> str:
    return f" For sftbench run: {change}" if change else ""


def _curves(story: Story) -> Section:
    figures = curve_figures(story)
    if not figures:
        blocks: tuple[Block, ...] = (Text(text="Nothing of the training is recorded."),)
        return Section(heading="What happened when", id="curves", blocks=blocks)
    curve, whose = words.told_curve(story)
    lead = "" if curve is None else f"{whose}: {words.stages_text(curve)}."
    if len(story.curves) > 1:
        lead += " Thin lines are single seeds."
    if curve is not None and len(curve.stages) > 1:
        lead += " Dotted lines begin a stage."
    blocks = (Figures(figures=figures),)
    return Section(heading="What happened when", id="curves", lead=lead, blocks=blocks)


def _classes(story: Story) -> Section | None:
    if not story.classes:
        return None
    has_score = any(one.score is not None for one in story.classes)
    columns = (
        Column(heading="class"),
        Column(heading="training examples", is_number=True),
        Column(heading="test examples", is_number=True),
        Column(heading="recall", is_number=True, lowest_first=True),
        *([Column(heading="score", is_number=True, lowest_first=True)] if has_score else []),
        *(
            Column(heading=f"to {one_line(other, 60)}", is_number=True, lowest_first=True)
            for other in story.compared
        ),
    )
    rows = tuple(
        Row(
            cells=(
                Cell(text=one.label),
                Cell(text=f"{one.train_count:.0f}", value=one.train_count),
                Cell(text=f"{one.support:.0f}", value=one.support),
                Cell(text=words.share(one.recall), value=one.recall),
                *([Cell(text=words.share(one.score), value=one.score)] if has_score else []),
                *(
                    Cell(
                        text=words.share(one.against[other], signed=True),
                        value=one.against[other],
                    )
                    for other in story.compared
                ),
            )
        )
        for one in story.classes
    )
    order = "that suffered most first" if story.compared else "with the lowest recall first"
    caption = f"Means over seeds on the test split; those {order}"
    table = DataTable(id="classes-table", caption=caption, columns=columns, rows=rows)
    return Section(heading="Classes", id="classes", blocks=(table,))


def _confusion(story: Story) -> Section | None:
    found = story.confusion
    unread = tuple(
        Text(text=f"No classes from predictions: {problem}.") for problem in story.unread
    )
    if found is None:
        return Section(heading="Confusions", id="confusions", blocks=unread) if unread else None
    blocks: list[Block] = list(unread)
    figure = confusion_figure(found)
    if figure is not None:
        blocks.append(Figures(figures=(figure,)))
    elif len(found.labels) > MOST_CLASSES:
        text = f"{len(found.labels)} classes are too many for a matrix that can be read."
        blocks.append(Text(text=text, is_quiet=True))
    pairs = [
        (
            one.truth,
            one.predicted,
            str(one.count),
            f"{100 * one.share:.0f} %",
            f"{100 * one.share_of_errors:.0f} %",
        )
        for one in found.pairs(_MOST_PAIRS)
    ]
    if pairs:
        blocks.append(_table("pairs-table", "The most frequent confusions", pairs, _PAIRS))
    total = int(found.counts.sum())
    lead = f"{found.num_errors} errors among {total} answers of {found.num_seeds} seeds."
    return Section(heading="Confusions", id="confusions", lead=lead, blocks=tuple(blocks))


def _mistakes(story: Story, pictures: Thumbnails) -> Section | None:
    if not story.mistakes:
        return None
    blocks: list[Block] = []
    if pictures.missing:
        blocks.append(Text(text=f"No pictures: {pictures.missing}.", is_quiet=True))
    shown = tuple(_picture(one, pictures) for one in story.mistakes if one.index in pictures.found)
    if shown:
        blocks.append(Gallery(pictures=shown))
    else:
        rows = [(str(one.index), *_told(one)) for one in story.mistakes]
        blocks.append(_table("mistakes-table", "By index in the test split", rows, _MISTAKES))
    lead = "Test examples that most seeds had wrong, the most confident first."
    return Section(heading="Worst errors", id="mistakes", lead=lead, blocks=tuple(blocks))


def _picture(one: Mistake, pictures: Thumbnails) -> Picture:
    found = pictures.found[one.index]
    truth, predicted, confidence, seeds = _told(one)
    return Picture(
        png=found.png,
        width=found.width,
        height=found.height,
        text=found.text,
        alt=f"Test example {one.index}: {truth}, taken for {predicted}",
        caption=(
            f"{truth}, taken for {predicted}",
            f"confidence {confidence}, {seeds} seeds, test example {one.index}",
        ),
    )


def _told(one: Mistake) -> tuple[str, str, str, str]:
    return (
        one_line(one.truth, 60),
        one_line(one.predicted, 60),
        words.share(one.confidence),
        f"{one.wrong_in} of {one.num_seeds}",
    )


def _calibration(story: Story) -> Section | None:
    found = story.calibration
    if found is None:
        return None
    rows = list(words.calibration_rows(story))
    return Section(
        heading="Calibration",
        id="calibration",
        lead=f"{words.calibration_lead(story)}. Below the dashed line it is surer than right.",
        blocks=(
            Figures(figures=reliability_figures(found)),
            _table("calibration-table", "Mean over seeds", rows, _CALIBRATION),
        ),
    )


def _criteria(story: Story) -> Section | None:
    if not story.success and not story.reasons:
        return None
    parts: list[Block] = []
    for heading, found in (
        ("What a success needs", story.success),
        ("Reasons: what was measured", story.reasons),
    ):
        if found:
            rows = tuple(_criterion(one) for one in found)
            table = DataTable(
                id=f"criteria-{len(parts)}", caption=heading, columns=_CRITERIA, rows=rows
            )
            parts.append(table)
    lead = (
        "Each criterion with the number found and its threshold, and by how much it is beyond it. "
        "A reason of cells shows the seed that decides."
    )
    return Section(heading="Criteria", id="criteria", lead=lead, blocks=tuple(parts))


def _criterion(one: Measured) -> Row:
    tone: Tone = "success" if one.is_met is one.is_wanted else "failure"
    threshold = f"{words.threshold_text(one)}, beyond by {words.beyond_text(one)}"
    return Row(
        cells=(
            Cell(text=one.reading.what, note="" if one.is_wanted else one.name),
            Cell(text=words.figure(one.reading.found), note=threshold),
            Cell(text=words.met_text(one), tone=tone, note=one.seeds),
        )
    )


def _cells(story: Story) -> Section:
    name = one_line(story.metric.name, 60) if story.metric else "metric"
    headings = ("seed and cell", "end", name, "seconds")
    rows = tuple(
        Row(cells=(Cell(text=seed, note=cell_id), *(Cell(text=text) for text in rest)))
        for seed, cell_id, *rest in words.cell_rows(story)
    )
    table = DataTable(
        id="cells-table",
        caption="On the test split",
        columns=tuple(Column(heading=one) for one in headings),
        rows=rows,
    )
    heading = "Cells" if story.seed is None else "The group's cells"
    return Section(heading=heading, id="cells", blocks=(table,))


_PAIRS = ("class", "taken for", "times", "of the class", "of all errors")
_MISTAKES = ("index", "class", "taken for", "confidence", "seeds")
_CALIBRATION = ("quantity", "before", "after scaling")
_CRITERIA = (
    Column(heading="criterion"),
    Column(heading="found"),
    Column(heading="met"),
)


def _table(
    name: str, caption: str, rows: Sequence[Sequence[str]], headings: Sequence[str]
) -> DataTable:
    """Return a plain table of texts."""
    return DataTable(
        id=name,
        caption=caption,
        columns=tuple(Column(heading=one) for one in headings),
        rows=tuple(Row(cells=tuple(Cell(text=text) for text in row)) for row in rows),
    )
