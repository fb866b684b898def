"""The page: overview, table, plots, strategies, how to read it, where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import get_args

from sftbench.pages.blocks import (
    Block,
    Cell,
    Column,
    DataTable,
    Details,
    Figures,
    Listing,
    Page,
    Row,
    Section,
    Text,
    Tiles,
    Tone,
)
from sftbench.pages.page import render_page
from sftbench.progress import Progress, silent
from sftbench.report import wording
from sftbench.report.html.across import across_sections
from sftbench.report.html.axes import MAX_BARS, MAX_SERIES, Looks
from sftbench.report.html.figures import section_figures
from sftbench.report.html.output_figures import MAX_SEEDS, output_figures
from sftbench.report.html.provenance import provenance
from sftbench.report.html.reliability import reliability_figures, reliability_table
from sftbench.report.html.rows import rows_table
from sftbench.report.html.source import RowView, SectionView, Source, strategy_id, styles, views
from sftbench.verdicts.judge import Kind

MAX_SECTIONS_DRAWN = 16
MAX_ROWS_WITH_OUTPUTS = 24


def render_html(source: Source, progress: Progress = silent) -> str:
    """Return the report as one HTML file.

    Args:
        source: All that it shows.
        progress: Is told how far it is.
    """
    found = views(source)
    return render_page(
        Page(
            title=f"Results of {source.name}",
            lead=_lead(found),
            blocks=(
                _overview(found),
                Section(
                    heading="Every result", id="results", blocks=(rows_table(found, source.table),)
                ),
                Section(
                    heading="Plots",
                    id="plots",
                    lead="By section, each with its data.",
                    blocks=tuple(_plots(source, found, progress)),
                ),
                *across_sections(found, source.table.criteria),
                _strategies(found),
                _reading(source),
                provenance(source, found),
            ),
            data={"rows": _compact(source)},
            footer=(f"Made by sftbench {version('sftbench')} from the records alone.",),
        )
    )


def _compact(source: Source) -> dict[str, object]:
    """Return the flat rows with each heading once."""
    columns = list(source.rows[0]) if source.rows else []
    return {"columns": columns, "rows": [list(row.values()) for row in source.rows]}


def _lead(found: Sequence[SectionView]) -> str:
    strategies = {one.row.strategy for view in found for one in view.rows}
    datasets = {view.section.dataset for view in found}
    backbones = {view.section.backbone for view in found}
    return (
        f"{_count(len(strategies), 'strategy', 'strategies')} of fine-tuning on "
        f"{_count(len(datasets), 'data set')} with {_count(len(backbones), 'backbone')}: "
        "which works, which fails, and why."
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _overview(found: Sequence[SectionView]) -> Section:
    rows = [one.row for view in found for one in view.rows]
    kinds = Counter(row.verdict.kind for row in rows)
    planned = sum(row.num_expected for row in rows)
    completed = sum(row.num_completed for row in rows)
    tiles: list[tuple[str, str, Tone]] = [
        (f"{completed}/{planned}", "cells ended well", ""),
        *((str(kinds[kind]), _words(kind), kind) for kind in get_args(Kind) if kinds[kind]),
    ]
    return Section(
        heading="At a glance",
        id="overview",
        blocks=(Tiles(tiles=tuple(tiles)), _by_section(found)),
    )


def _words(kind: Kind) -> str:
    return {"success": "better than the baseline", "failure": "failed"}.get(kind, kind)


def _by_section(found: Sequence[SectionView]) -> DataTable:
    columns = ("section", "best mean", "its value", "baseline", "success", "failure", "undecided")
    rows = []
    for view in found:
        best = next((one for one in view.rows if one.row.mean is not None), None)
        base = next((one.row for one in view.rows if one.row.label == view.section.baseline), None)
        value = wording.cells(view.section, best.row)[2] if best else wording.NONE
        mean = (
            wording.NONE
            if base is None or base.mean is None
            else wording.number(base.mean, view.section.metric)
        )
        rows.append(
            Row(
                cells=(
                    Cell(text=view.title, href=f"#{view.id}"),
                    Cell(text=best.row.label, href=f"#{best.id}") if best else Cell(text="-"),
                    Cell(text=f"{view.metric} {value}"),
                    Cell(text=f"{view.section.baseline} {mean}"),
                    *(
                        Cell(text=_labels(view, kind))
                        for kind in ("success", "failure", "inconclusive")
                    ),
                )
            )
        )
    return DataTable(
        id="by-section",
        caption="By section: the best mean is not yet a success; the verdicts are.",
        columns=tuple(Column(heading=one) for one in columns),
        rows=tuple(rows),
        is_stacked=True,
    )


def _labels(view: SectionView, kind: str) -> str:
    labels = [one.row.label for one in view.rows if one.row.verdict.kind == kind]
    if len(labels) > 4:
        return f"{', '.join(labels[:3])} and {len(labels) - 3} more"
    return ", ".join(labels) or wording.NONE


def _plots(source: Source, found: Sequence[SectionView], progress: Progress) -> Iterator[Section]:
    looks = styles(found)
    budget = MAX_ROWS_WITH_OUTPUTS
    share = max(1, MAX_ROWS_WITH_OUTPUTS // max(1, min(len(found), MAX_SECTIONS_DRAWN)))
    for number, view in enumerate(found):
        progress("drawing sections", number, len(found))
        blocks: list[Block] = [Text(text=wording.protocol_line(view.section), is_quiet=True)]
        notes = tuple(f"note: {problem}" for problem in view.section.problems)
        blocks += [Listing(lines=notes)] if notes else []
        if number < MAX_SECTIONS_DRAWN:
            outputs = list(_outputs(source, view, min(budget, share)))
            budget -= len(outputs)
            blocks += _drawn(source, view, looks, outputs)
        else:
            blocks.append(
                Text(
                    text=f"Plots are drawn for the first {MAX_SECTIONS_DRAWN} sections; "
                    "the table has the numbers of all.",
                    is_quiet=True,
                )
            )
        yield Section(heading=view.title, id=view.id, blocks=tuple(blocks))


def _drawn(
    source: Source, view: SectionView, looks: Looks, outputs: Sequence[Details]
) -> Iterator[Block]:
    figures = section_figures(view, looks, source.table.criteria)
    if not figures:
        yield Text(text="No cell of this section has ended well yet: there is nothing to draw.")
        return
    yield Figures(figures=figures)
    if (beside := reliability_table(view)) is not None:
        figures = reliability_figures(view, looks)
        blocks = (Figures(figures=figures), beside) if figures else (beside,)
        yield Section(heading="Reliability and measures", blocks=blocks)
    if outputs:
        yield Section(
            heading="Confidence and confusion",
            lead=f"From kept predictions, for {len(outputs)} of {len(view.rows)} rows, the best "
            f"first, over at most {MAX_SEEDS} seeds (a page has {MAX_ROWS_WITH_OUTPUTS} such rows "
            "at most).",
            blocks=tuple(outputs),
        )


def _outputs(source: Source, view: SectionView, most: int) -> Iterator[Details]:
    drawn = 0
    for one in view.rows:
        if drawn >= most:
            return
        records = list(one.group.completed.values())[:MAX_SEEDS]
        kept = [each for record in records if (each := source.predictions(record)) is not None]
        if not kept or len({each.outputs.shape[1] for each in kept}) > 1:
            continue
        drawn += 1
        yield Details(
            summary=f"{one.row.label}: reliability and confusion",
            id=f"outputs-{one.key}",
            blocks=(Figures(figures=output_figures(one, kept)),),
        )


def _strategies(found: Sequence[SectionView]) -> Section:
    by_name: dict[str, list[tuple[SectionView, RowView]]] = {}
    for view in found:
        for one in view.rows:
            by_name.setdefault(one.row.strategy, []).append((view, one))
    return Section(
        heading="Strategies",
        id="strategies",
        lead="Each strategy in every section.",
        blocks=tuple(_strategy(name, places) for name, places in sorted(by_name.items())),
    )


def _strategy(name: str, places: Sequence[tuple[SectionView, RowView]]) -> Details:
    kinds = Counter(one.row.verdict.kind for _, one in places)
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in get_args(Kind) if kinds[kind])
    rows = tuple(_place(view, one) for view, one in places)
    columns = ("section", "row", "verdict", "mean", "difference", "s per cell")
    table = DataTable(
        id="",
        caption=f"{name} by section",
        columns=tuple(Column(heading=one) for one in columns),
        rows=rows,
    )
    return Details(summary=f"{name}: {counts}", id=strategy_id(name), blocks=(table,))


def _place(view: SectionView, one: RowView) -> Row:
    label, _, mean, difference, _, _, seconds, _, verdict = wording.cells(view.section, one.row)
    return Row(
        cells=(
            Cell(text=view.title, href=f"#{view.id}"),
            Cell(text=label, href=f"#{one.id}"),
            Cell(text=verdict, tone=one.row.verdict.kind),
            Cell(text=f"{view.metric} {mean}"),
            Cell(text=difference),
            Cell(text=seconds),
        )
    )


def _reading(source: Source) -> Section:
    lines = tuple(wording.legend(source.table, "bold: best of its column"))
    links = (
        "A link to a row, a cell, a comparison or a strategy ends with #row-..., #cell-..., "
        "#compare-... or #strategy-...; the address keeps what is filtered and sorted."
    )
    limits = f"Plots name at most {MAX_SERIES} strategies and {MAX_BARS} bars; their CSV has all."
    return Section(
        heading="How to read this",
        id="reading",
        blocks=(Listing(lines=(*lines, limits, links)),),
    )
