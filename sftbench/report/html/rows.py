"""The table of the page: every row with its evidence, and what links lead to."""

from __future__ import annotations

from collections.abc import Sequence

from sftbench.names import one_line
from sftbench.pages.blocks import (
    Block,
    Cell,
    Column,
    DataTable,
    Facts,
    Link,
    Links,
    Listing,
    Row,
    Section,
    Text,
)
from sftbench.plan import canonical
from sftbench.records import Record
from sftbench.report import wording
from sftbench.report.aggregate import Table
from sftbench.report.html.source import RowView, SectionView, strategy_id
from sftbench.verdicts.comparisons import Comparison

TABLE_ID = "rows"
SECTION_KEY = "section"
KEYS = (SECTION_KEY, "data set", "variant", "backbone", "weights", "strategy", "verdict")
_NO = wording.NONE
_DIGEST_CHARACTERS = 12


def rows_table(views: Sequence[SectionView], table: Table) -> DataTable:
    """Return every row of every section, grouped by section, the best of each first."""
    return DataTable(
        id=TABLE_ID,
        caption="Every strategy by section, the best first. A verdict opens its evidence.",
        columns=_columns(views, table),
        rows=tuple(_row(view, one) for view in views for one in view.rows),
        keys=KEYS,
        grouped_by=SECTION_KEY,
    )


def _columns(views: Sequence[SectionView], table: Table) -> tuple[Column, ...]:
    level = f"{100 * table.criteria.level:g} %"
    metrics = {view.metric for view in views}
    baselines = {view.section.baseline for view in views}
    metric = metrics.pop() if len(metrics) == 1 else "metric"
    baseline = baselines.pop() if len(baselines) == 1 else "baseline"
    return (
        Column(heading="strategy"),
        Column(heading="verdict"),
        Column(heading="section", hidden_by=SECTION_KEY),
        Column(
            heading=f"{metric} [{level} of seeds]",
            is_number=True,
            explanation="Mean on this test set; only seeds vary in the interval",
        ),
        Column(
            heading=f"Δ to {baseline} [{level} population]",
            is_number=True,
            explanation="Paired difference; seeds and test examples vary in the interval",
        ),
        Column(
            heading="p",
            is_number=True,
            lowest_first=True,
            explanation="Sign-flip over seeds, adjusted by Holm over the section's comparisons",
        ),
        Column(heading="n/N", is_number=True, explanation="Seeds that ended well of those planned"),
        Column(
            heading="worst class",
            is_number=True,
            explanation="Lowest recall of a class, mean over seeds",
        ),
        Column(
            heading="s per cell",
            is_number=True,
            lowest_first=True,
            explanation="Wall-clock of a completed cell, mean",
        ),
        Column(
            heading="MB",
            is_number=True,
            lowest_first=True,
            explanation="Peak of the device, else of the process",
        ),
    )


def _row(view: SectionView, one: RowView) -> Row:
    section, row = view.section, one.row
    label, seeds, mean, difference, p, worst, seconds, memory, verdict = wording.cells(section, row)
    compared = row.comparison
    named = iter(wording.BEST)
    best = {text: name in row.best for text, name in zip("lsmdpwtyv", named, strict=True)}
    values = (
        (mean, row.mean, best["m"]),
        (difference, None if compared is None else compared.gain, False),
        (p, None if compared is None else compared.p_adjusted, False),
        (seeds, row.num_completed / row.num_expected if seeds != _NO else None, False),
        (worst, row.worst_recall, best["w"]),
        (seconds, row.seconds, best["t"]),
        (memory, row.peak_bytes, best["y"]),
    )
    return Row(
        id=one.id,
        keys=(
            view.title,
            section.dataset,
            section.variant,
            section.backbone,
            section.weights,
            row.strategy,
            row.verdict.kind,
        ),
        cells=(
            Cell(text=label),
            Cell(
                text=verdict,
                tone=row.verdict.kind,
                blocks=_evidence(view, one),
                note=_note(one),
            ),
            Cell(text=view.title, href=f"#{view.id}"),
            *(Cell(text=text, value=value, is_best=is_best) for text, value, is_best in values),
        ),
    )


def _note(one: RowView) -> str:
    """Return the reasons' names, or what keeps it from a verdict."""
    verdict = one.row.verdict
    names = [found.reason for found in verdict.reasons]
    return one_line(", ".join(names) or verdict.missing, 80)


def _evidence(view: SectionView, one: RowView) -> tuple[Block, ...]:
    row = one.row
    verdict = row.verdict
    said = [
        f"{found.reason}{' (hard)' if found.hard else ''}"
        f"{f', {found.seeds}' if found.seeds else ''}: {found.text}"
        for found in verdict.reasons
    ]
    if verdict.missing and verdict.kind not in ("skipped", "inconclusive"):
        said.append(f"missing: {verdict.missing}")
    said += row.remarks
    links = (
        Link(text="link to this row", href=f"#{one.id}"),
        Link(text=f"{row.strategy} in every section", href=f"#{strategy_id(row.strategy)}"),
        Link(text="plots of this section", href=f"#{view.id}"),
    )
    first = Text(text=_sentence(view, one))
    blocks: list[Block] = [first, *([Listing(lines=tuple(said))] if said else [])]
    if verdict.kind != "skipped":
        blocks += [_comparison(view, one), _facts(view, one), _seeds(view, one)]
    return (*blocks, Links(links=links))


def _sentence(view: SectionView, one: RowView) -> str:
    """Say in words what the verdict rests on."""
    row, base = one.row, view.section.baseline
    hard = [found.reason for found in row.verdict.reasons if found.hard]
    match row.verdict.kind:
        case "success":
            return f"Success: better than {base}, significantly and by the margin."
        case "failure" if hard:
            return f"Failure, for a hard reason: {', '.join(hard)}."
        case "failure":
            return f"Failure: worse than {base}, significantly and by the margin."
        case "baseline":
            return "The baseline: the others of this section are compared with it."
        case "skipped":
            return f"Skipped: {row.verdict.missing}."
    return f"Inconclusive: {row.verdict.missing or 'no comparison'}."


def _comparison(view: SectionView, one: RowView) -> Section:
    """Return the comparisons with baseline and scratch, under an address of their own."""
    pairs: list[tuple[str, str]] = []
    for compared in (one.row.comparison, one.row.transfer):
        if compared is not None:
            pairs += _compared(view, compared)
    if not pairs:
        pairs = [("comparison", "none: nothing to compare with, or this is it")]
    return Section(
        heading="Comparison", id=f"compare-{one.key}", blocks=(Facts(pairs=tuple(pairs)),)
    )


def _compared(view: SectionView, one: Comparison) -> list[tuple[str, str]]:
    metric = view.section.metric
    if one.estimate is None:
        return [(f"to {one.against}", one.lacking or "no pair of seeds")]
    text = wording.number(one.estimate, metric, signed=True)
    if one.interval is not None:
        ends = (
            wording.number(end, metric, signed=True)
            for end in (one.interval.low, one.interval.high)
        )
        text += f" [{', '.join(ends)}] in the population"
    p = "not computed" if one.p is None else f"{one.p:.3g}"
    if one.p_adjusted is not None:
        p += f", adjusted {one.p_adjusted:.3g} (Holm over {one.num_family})"
    pairs = f"{one.num_pairs} pairs of seeds"
    if one.lacking:
        pairs += f"; {one.lacking}"
    elif one.seeds_needed is not None and one.num_pairs < one.seeds_needed:
        pairs += f"; {one.seeds_needed} needed to decide"
    return [(f"to {one.against}", f"{text}; p {p}; {pairs}")]


def _facts(view: SectionView, one: RowView) -> Facts:
    row, metric = one.row, view.section.metric
    pairs = [("rank", str(row.rank))] if row.rank is not None else []
    if row.mean is not None:
        pairs.append((f"mean {view.metric}", _mean(view, one)))
    elif row.mean_completed is not None:
        text = wording.number(row.mean_completed, metric)
        pairs.append((f"mean over completed seeds, {view.metric}", text))
    pairs += [
        ("ends", ", ".join(f"{count} {end}" for end, count in row.ends.items())),
        ("options", canonical(row.options) if row.options else "none"),
        ("algorithm version", str(row.version)),
    ]
    if row.examples_per_second is not None:
        pairs.append(("training throughput", f"{row.examples_per_second:.4g} per second"))
    if row.other_weights:
        pairs.append(("starts from other weights", row.other_weights))
    if row.num_weights > 1:
        pairs.append(
            ("different weights of one name", f"{row.num_weights}; run again with --force")
        )
    return Facts(pairs=tuple(pairs))


def _mean(view: SectionView, one: RowView) -> str:
    row, metric = one.row, view.section.metric
    text = wording.number(row.mean or 0.0, metric)
    if row.seed_interval:
        low, high = (wording.number(end, metric) for end in row.seed_interval)
        text += f"; [{low}, {high}] on this test set"
    if row.population_interval:
        ends = (row.population_interval.low, row.population_interval.high)
        low, high = (wording.number(end, metric) for end in ends)
        text += f"; [{low}, {high}] in the population"
    return text


def _seeds(view: SectionView, one: RowView) -> DataTable:
    """Return every seed with its cell: what it gave, and where that comes from."""
    headings = ("cell", "seed", "end", view.metric, "s", "MB", "finished", "code", "record")
    rows = []
    for seed, cell in one.group.cells.items():
        record = one.group.records.get(seed)
        texts = _of_seed(record, view.metric) if record else ("missing", *[_NO] * 6)
        if seed in one.group.skipped:
            texts = (f"skipped: {one.group.skipped[seed]}", *[_NO] * 6)
        rows.append(
            Row(
                id=f"cell-{cell.cell_id}",
                cells=(
                    Cell(text=cell.cell_id, href=f"#cell-{cell.cell_id}"),
                    Cell(text=str(seed)),
                    *(Cell(text=text) for text in texts),
                ),
            )
        )
    return DataTable(
        id="",
        caption="Seeds; more of a cell: sftbench show CELL",
        columns=tuple(Column(heading=heading) for heading in headings),
        rows=tuple(rows),
    )


def _of_seed(record: Record, metric: str) -> tuple[str, ...]:
    value = record.value(metric)
    end: str = record.status
    if record.error is not None:
        end += one_line(f": {record.error.type}: {record.error.message}", 200)
    peak = record.memory.peak_device_bytes or record.memory.peak_rss_bytes
    git = record.provenance.get("git")
    commit = str(git.get("commit") or "") if isinstance(git, dict) else ""
    version = record.provenance.get("versions")
    release = str(version.get("sftbench") or "") if isinstance(version, dict) else ""
    code = one_line(" ".join(part for part in (release, commit[:8]) if part), 40)
    return (
        end,
        _NO if value is None else f"{value:.4g}",
        f"{record.timing.total_seconds:.4g}",
        f"{peak / 1e6:.0f}",
        one_line(record.finished_at, 40)[:16].replace("T", " "),
        code or _NO,
        f"attempt {record.attempt}, {record.checksum[:_DIGEST_CHARACTERS]}",
    )
