from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.records import make_cell, make_outputs, make_record
from support.reports import source, study
from support.tables import cell, ended

from sftbench.cli.main import cli
from sftbench.pages.blocks import Facts, Figures, Section
from sftbench.plan import Plan, Skip
from sftbench.report.html import document
from sftbench.report.html.across import across_sections
from sftbench.report.html.document import render_html
from sftbench.report.html.source import views
from sftbench.results import Results
from sftbench.store import Store

EVIL = "<script>alert(1)</script>\"'&\u202e"


class Reader(HTMLParser):
    """Elements, ids, links and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.downloads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a":
            (self.downloads if "download" in found else self.links).append(str(found["href"]))


@pytest.fixture(scope="module")
def html() -> str:
    plan, records = study(
        {"head-only": 0.7, "full": 0.8, "scratch": 0.3}, 3, [{}, {"variant": "longtail:20"}]
    )
    return render_html(source([plan], records))


def data(html: str) -> list[dict[str, object]]:
    (text,) = re.findall(r'<script type="application/json" id="data-rows">(.*?)</script>', html)
    found = json.loads(text)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def test_its_data_are_the_flat_rows_of_every_other_format() -> None:
    plan, records = study({"head-only": 0.7, "full": 0.8}, 3)
    given = source([plan], records, with_predictions=False)
    assert data(render_html(given)) == given.rows
    assert given.rows[0]["mean"] is not None


def test_numbers_of_the_table_are_those_of_its_data(html: str) -> None:
    for row in data(html):
        assert f'data-v="{row["mean"]}"' in html
        assert f'data-v="{row["worst_class_recall"]}"' in html


def test_every_link_leads_somewhere_and_every_id_is_one(html: str) -> None:
    found = Reader(html)
    assert [name for name, count in Counter(found.ids).items() if count > 1] == []
    assert all(link.startswith("#") for link in found.links)
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert all(link.startswith("data:text/csv") for link in found.downloads)
    kinds = Counter(one.partition("-")[0] for one in found.ids)
    assert kinds["row"] == 6
    assert kinds["compare"] == 6
    assert kinds["cell"] == 18
    assert kinds["strategy"] == 3


def test_every_plot_has_words_and_data(html: str) -> None:
    found = Reader(html)
    # Six a section; reliability and confusion of each of six rows.
    assert found.tags["figure"] == found.tags["svg"] == len(found.downloads) == 2 * 6 + 6 * 2
    assert len(re.findall(r'<svg[^>]* role="img" aria-label="[^"]{20,}"', html)) == 24


def test_hostile_names_stay_text() -> None:
    cells = [cell(name, seed, dataset=EVIL) for name in ("head-only", EVIL) for seed in range(2)]
    records = {one.cell_id: ended(one, "crashed", EVIL) for one in cells}
    plan, found = study({"head-only": 0.6, EVIL: 0.8}, 2, [{"variant": EVIL}])
    plan = Plan(cells=(*cells, *plan.cells), baseline="head-only")
    given = source([plan], {**records, **found}, name=EVIL, problems=((EVIL, EVIL),))
    html = render_html(given)
    tags = Reader(html).tags
    assert tags["script"] == 2  # the data and the page's own
    assert "<script>alert" not in html
    assert data(html) == given.rows
    html.encode()


def test_failed_missing_and_skipped_cells_are_all_there() -> None:
    plan, records = study({"head-only": 0.7, "full": 0.8, "gone": 0.5}, 3)
    for one in plan.cells:
        if one.strategy == "gone":
            del records[one.cell_id]
        if one.strategy == "full" and one.seed == 1:
            records[one.cell_id] = ended(one, "out_of_memory", "no room")
    skips = tuple(Skip(cell=cell("big", seed), reason="too large") for seed in range(3))
    plan = plan.model_copy(update={"skipped": skips})
    html = render_html(source([plan], records, with_predictions=False))
    for text in ("out_of_memory: Error: no room", "3 of 3 seeds missing", "Skipped: too large."):
        assert text in html
    assert "6/12" not in html
    assert "5/12</b>" in html


def test_a_plan_without_records_and_a_store_without_predictions() -> None:
    plan, records = study({"head-only": 0.7, "full": 0.8}, 2)
    html = render_html(source([plan], {}))
    assert "nothing to draw" in html
    assert "<svg" not in html
    html = render_html(source([plan], records, with_predictions=False))
    assert "<svg" in html
    assert "Confidence and confusion" not in html


def test_what_is_drawn_is_limited_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_SECTIONS_DRAWN", 1)
    monkeypatch.setattr(document, "MAX_ROWS_WITH_OUTPUTS", 1)
    plan, records = study({"head-only": 0.7, "full": 0.8}, 2, [{}, {"dataset": "other"}])
    html = render_html(source([plan], records))
    assert "Plots are drawn for the first 1 sections" in html
    assert "for 1 of 2 rows" in html
    assert Reader(html).tags["svg"] == 6 + 2


def test_five_data_sets_are_ranked_together() -> None:
    strategies = {"head-only": 0.5, "full": 0.9, "lp-ft": 0.7}
    found: dict[int, list[Section]] = {}
    for count in (4, 5):
        sections = [{"dataset": f"set-{number}"} for number in range(count)]
        plan, records = study(strategies, 1, sections)
        given = source([plan], records, with_predictions=False, with_intervals=False)
        found[count] = list(across_sections(views(given), given.table.criteria))
    assert found[4] == []
    (inner,) = found[5][0].blocks
    assert isinstance(inner, Section)
    facts, figures = inner.blocks
    assert isinstance(facts, Facts)
    assert isinstance(figures, Figures)
    # The order is the same in each of five: chi square 12 N / (k (k + 1)) sum (R - 2)^2 = 10.
    assert ("Friedman", "chi square 10.00, p 0.00674: strategies differ") in facts.pairs
    (figure,) = figures.figures
    assert figure.plot.csv.splitlines()[1:] == ["full,1.0,1", "lp-ft,2.0,1 2", "head-only,3.0,2"]


def test_the_same_records_give_the_same_bytes() -> None:
    plan, records = study({"head-only": 0.7, "full": 0.8}, 2)
    given = source([plan], records, with_predictions=False)
    first, second = (render_html(given) for _ in range(2))
    assert first == second


def test_the_command_writes_it_without_torch(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    cells = [make_cell(seed=seed) for seed in range(2)]
    for one in cells:
        store.write(make_record(one), make_outputs(rows=40))
    store.add_plan(Plan(cells=tuple(cells)))
    target = tmp_path / "report.html"
    done = CliRunner().invoke(
        cli, ["report", str(store.path), "--format", "html", "-o", str(target)]
    )
    assert done.exit_code == 0, done.output
    text = target.read_text(encoding="utf-8")
    assert "Results of store" in text
    assert data(text) == Results(store.path).rows()
    assert "head-only: reliability and confusion" in text
    code = (
        "import sys; from sftbench.results import Results\n"
        f"Results({str(store.path)!r}).to_html()\n"
        "print([name for name in ('torch', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
