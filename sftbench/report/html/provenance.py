"""Where everything on the page comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sftbench.names import one_line
from sftbench.pages.blocks import (
    Block,
    Cell,
    Column,
    DataTable,
    Details,
    Facts,
    Listing,
    Row,
    Section,
)
from sftbench.records import Record
from sftbench.report.html.source import SectionView, Source

_MOST = 8
_MOST_PROBLEMS = 200


def provenance(source: Source, views: Sequence[SectionView]) -> Section:
    """Return the plans, the software and hardware, the data and weights, and what was not read."""
    records = [one for view in views for row in view.rows for one in row.group.records.values()]
    blocks: list[Block] = [Facts(pairs=tuple(_shared(records))), _plans(source), _inputs(views)]
    if source.problems:
        lines = [f"{path}: {reason}" for path, reason in source.problems[:_MOST_PROBLEMS]]
        more = len(source.problems) - len(lines)
        lines += [f"and {more} more"] if more > 0 else []
        blocks.append(
            Details(
                summary=f"{len(source.problems)} files were left alone",
                blocks=(Listing(lines=tuple(lines)),),
            )
        )
    return Section(
        heading="Provenance",
        id="provenance",
        lead="Each cell's record is in the evidence of its row, with its checksum.",
        blocks=tuple(blocks),
    )


def _shared(records: Sequence[Record]) -> Iterable[tuple[str, str]]:
    """Yield what the records say of the software and the machines, each value with its count."""
    if not records:
        yield "records", "none"
        return
    times = sorted(one.finished_at for one in records)
    yield "records", f"{len(records)}, finished from {times[0][:16]} to {times[-1][:16]}"
    for name, path in (
        ("code", ("git", "commit")),
        ("uncommitted changes", ("git", "dirty")),
        ("device", ("hardware", "device")),
        ("processor", ("hardware", "processor")),
        ("cores", ("hardware", "cores")),
        ("threads", ("hardware", "threads")),
        ("system", ("hardware", "system")),
        ("deterministic", ("deterministic",)),
    ):
        if text := _counted(_at(one.provenance, path) for one in records):
            yield name, text
    versions = [_at(one.provenance, ("versions",)) for one in records]
    packages = {name for each in versions if isinstance(each, dict) for name in each}
    for name in sorted(map(str, packages))[:40]:
        found = (each.get(name) for each in versions if isinstance(each, dict))
        yield name, _counted(found)


def _plans(source: Source) -> DataTable:
    columns = ("plan", "cells", "skipped", "baseline", "criteria of its own")
    rows = tuple(
        Row(
            cells=(
                Cell(text=plan.plan_id),
                Cell(text=str(len(plan.cells))),
                Cell(text=str(len(plan.skipped))),
                Cell(text=plan.baseline),
                Cell(text=", ".join(f"{k} {v:g}" for k, v in plan.criteria.items()) or "-"),
            )
        )
        for plan in source.plans
    )
    return _table("Plans of the store, the oldest first", columns, rows)


def _inputs(views: Sequence[SectionView]) -> DataTable:
    columns = ("section", "protocol", "training data", "test data", "weights", "plugins")
    rows = []
    for view in views:
        records = [one for row in view.rows for one in row.group.records.values()]
        said = [one.provenance for one in records]
        plugins = (_at(one, ("plugins",)) for one in said)
        rows.append(
            Row(
                cells=(
                    Cell(text=view.title, href=f"#{view.id}"),
                    Cell(text=f"{view.section.protocol.name} {view.section.protocol_digest}"),
                    Cell(text=_counted(_at(one, ("data", "train")) for one in said) or "-"),
                    Cell(text=_counted(_at(one, ("data", "test")) for one in said) or "-"),
                    Cell(text=_counted(map(_weights, said)) or "-"),
                    Cell(text=_counted(v for each in plugins for v in _values(each)) or "-"),
                )
            )
        )
    return _table("Fingerprints of what each section was given", columns, tuple(rows))


def _table(caption: str, columns: Sequence[str], rows: tuple[Row, ...]) -> DataTable:
    return DataTable(
        id="", caption=caption, columns=tuple(Column(heading=one) for one in columns), rows=rows
    )


def _weights(said: Mapping[str, object]) -> str | None:
    effective, digest = (_at(said, ("weights", name)) for name in ("effective", "digest"))
    if effective is None:
        return None
    return f"{effective} {str(digest)[:12]}" if digest else str(effective)


def _values(found: object) -> list[object]:
    return list(dict.fromkeys(map(str, found.values()))) if isinstance(found, dict) else []


def _at(said: object, path: Sequence[str]) -> object:
    """Return what stands at a path of nested dictionaries; None where one is none."""
    for name in path:
        said = said.get(name) if isinstance(said, dict) else None
    return said


def _counted(values: Iterable[object]) -> str:
    """Return the different values, the most frequent first; with counts where there are several."""
    found = Counter(one_line(str(value), 100) for value in values if value is not None)
    if len(found) == 1:
        return next(iter(found))
    texts = [f"{value} ({count} x)" for value, count in found.most_common(_MOST)]
    return ", ".join([*texts, *([f"{len(found) - _MOST} more"] if len(found) > _MOST else [])])
