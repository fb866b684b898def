"""What is shown of a table: the same numbers in every format, and verdicts that no filter moves."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.tables import ExactScoring, by_id, cell, ended, record

from sftbench.errors import RequestError
from sftbench.plan import Plan, Skip
from sftbench.records import MetricSpec
from sftbench.report.aggregate import Table, aggregate
from sftbench.report.flat import CELL_COLUMNS, GROUP_COLUMNS
from sftbench.report.latex import escape, render_latex
from sftbench.report.markdown import render_markdown
from sftbench.report.notebook import render_notebook
from sftbench.report.programs import render_csv, render_json, render_parquet, to_arrow
from sftbench.report.selection import Selection, Shown
from sftbench.report.terminal import plain_text

NLL = MetricSpec(name="nll", direction="min", range=(0.0, None))
NUMBER = re.compile(r"[+-]?\d*\.?\d+")


@pytest.fixture(scope="module")
def table() -> Table:
    """Two variants, four strategies, one with a failed seed and one skipped."""
    found = {}
    plans: list[Plan] = []
    for shift, variant in ((0.0, "balanced"), (0.2, "longtail:50")):
        for number, name in enumerate(["head-only", "full", "lp-ft"]):
            for seed in range(7):
                value = 0.7 - shift + 0.03 * number + 0.004 * seed
                one = record(
                    cell(name, seed, variant=variant),
                    value,
                    metric_specs=(*record(cell("x", 0)).metric_specs, NLL),
                    metrics={
                        "selected": {
                            "test": {"accuracy": value, "nll": 2 - value},
                            "val": {"accuracy": value + 0.01},
                        }
                    },
                )
                found |= by_id([one])
        broken = cell("lp-ft", 6, variant=variant)
        found |= by_id([ended(broken, "timed_out", "600 seconds")])
        skip = Skip(cell=cell("joint", 0, variant=variant), reason="needs a source set")
        names = ["head-only", "full", "lp-ft"]
        cells = tuple(cell(name, s, variant=variant) for name in names for s in range(7))
        plans.append(Plan(cells=cells, skipped=(skip,)))
    return aggregate(plans, found, ExactScoring())


def latex_rows(text: str) -> list[list[str]]:
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
    undone = [re.sub(r"\\textbf\{(.*)\}|\{([\[\]-])\}", r"\1\2", line) for line in lines]
    undone = [re.sub(r"\{([\[\]-])\}|\$(-)\$", r"\1\2", line) for line in undone]
    return [line.split(" & ") for line in undone if not line.startswith("strategy")]


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line.replace("*", "") for line in text.splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ") for line in lines]
    return [row for row in rows if row[0] not in ("strategy", "---")]


def notebook_rows(text: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(<td.*?)</tr>", text)
    return [re.sub(r"</?b>", "", row).replace("</td>", "").split("<td")[1:] for row in rows]


def numbers(text: str) -> list[float]:
    return [float(one) for one in NUMBER.findall(text)]


def test_every_format_has_the_same_numbers(table: Table) -> None:
    shown = Shown(table, Selection(metrics=("nll", "val/accuracy"), digits=6))
    rows = json.loads(render_json(shown))
    assert len(rows) == 8
    # Parquet and CSV, bit for bit.
    parquet = pq.read_table(io.BytesIO(render_parquet(shown)))
    assert parquet.to_pylist() == rows
    read = list(csv.DictReader(io.StringIO(render_csv(shown))))
    for mine, row in zip(read, rows, strict=True):
        for key, value in row.items():
            assert mine[key] == ("" if value is None else str(value))
    # Texts for people, to the digits that are shown.
    ways = {
        "markdown": markdown_rows(render_markdown(shown)),
        "latex": latex_rows(render_latex(shown)),
        "notebook": [
            [re.sub(r".*?>", "", f) for f in row] for row in notebook_rows(render_notebook(shown))
        ],
    }
    order = sorted(range(8), key=lambda i: (rows[i]["variant"], i))
    for texts in ways.values():
        assert [row[0] for row in texts] == [rows[i]["label"] for i in order]
        for text, i in zip(texts, order, strict=True):
            check_people(text, rows[i])
    flat = plain_text(shown, 200)
    for row in rows:
        line = next(x for x in flat.splitlines() if x.startswith(f"{row['label']} "))
        assert f"{row['seeds_completed']}/{row['seeds_expected']}" in line or row["rank"] is None


def check_people(text: list[str], row: dict) -> None:
    keys = [("mean", "_low_test_set", "_high_test_set")]
    wanted = [row["mean"], row["mean_low_test_set"], row["mean_high_test_set"]]
    nll = [row[f"test/nll{end}"] for end in ("", *keys[0][1:])]
    val = [row[f"val/accuracy{end}"] for end in ("", *keys[0][1:])]
    difference = [row[f"difference{end}"] for end in ("", "_low_population", "_high_population")]
    if row["mean"] is None:
        assert text[2].startswith("-")
        return
    assert numbers(text[2].split("[")[0] + text[2].split("[")[1]) == pytest.approx(wanted, abs=1e-6)
    assert numbers(text[3].replace("[", " ")) == pytest.approx(nll, abs=1e-5)
    assert numbers(text[4].replace("[", " ")) == pytest.approx(val, abs=1e-6)
    if row["difference"] is not None:
        assert numbers(text[5].replace("[", " ")) == pytest.approx(difference, abs=1e-6)
        assert numbers(text[6]) == pytest.approx([row["p_adjusted"]], abs=1e-6)
    assert text[-1].startswith(row["verdict"])


def test_a_filter_changes_no_number_and_no_verdict(table: Table) -> None:
    whole = {(r["variant"], r["label"]): r for r in Shown(table).rows()}
    kept = Shown(table, Selection(where="strategy != 'head-only' and mean > 0.5")).rows()
    assert [(r["variant"], r["label"]) for r in kept] == [
        ("balanced", "full"),
        ("longtail:50", "full"),
    ]
    assert all(row == whole[row["variant"], row["label"]] for row in kept)
    assert {row["family"] for row in kept} == {2}
    text = plain_text(Shown(table, Selection(where="strategy == 'full'")))
    assert "filter strategy == 'full': 6 of 8 rows are not shown" in text


def test_a_seed_asks_for_cells_and_is_refused_for_groups(table: Table) -> None:
    where = "strategy != 'scratch' and seed < 2"
    shown = Shown(table, Selection(where=where))
    assert shown.kind == "cells"
    rows = shown.rows()
    assert {row["seed"] for row in rows} == {0, 1}
    assert {row["status"] for row in rows} == {"ok", "skipped"}
    verdicts = {(r["variant"], r["label"]): r["verdict"] for r in Shown(table).rows()}
    assert all(row["verdict"] == verdicts[row["variant"], row["label"]] for row in rows)
    with pytest.raises(RequestError) as caught:
        Shown(table, Selection(where=where, rows="groups"))
    assert str(caught.value) == (
        f'filter "{where}": a group\'s row is over all its seeds, and a filter never changes a '
        "verdict; a column of cells needs --rows cells"
    )


def test_cells_have_their_ends(table: Table) -> None:
    rows = Shown(table, Selection(rows="cells", where="status == 'timed_out'")).rows()
    assert [(row["seed"], row["value"], row["error"]) for row in rows] == [
        (6, None, "Error: 600 seconds")
    ] * 2


def test_columns_have_the_types_that_are_said(table: Table) -> None:
    for rows, types in (("groups", GROUP_COLUMNS), ("cells", CELL_COLUMNS)):
        shown = Shown(table, Selection(rows=rows))
        for row in shown.rows():
            assert list(row) == list(types)
            for name, value in row.items():
                assert value is None or type(value) is types[name], name
        empty = Shown(table, Selection(rows=rows, where="strategy == 'none'"))
        assert to_arrow(empty).schema == to_arrow(shown).schema
        assert render_csv(empty).splitlines() == [",".join(types)]


def test_sorting_puts_what_is_missing_last(table: Table) -> None:
    rows = Shown(table, Selection(sort=("-mean", "variant"))).rows()
    means = [row["mean"] for row in rows]
    present = [mean for mean in means if mean is not None]
    assert present == sorted(present, reverse=True)
    assert means[len(present) :] == [None] * 4


def test_another_metric_is_marked_by_its_own_direction(table: Table) -> None:
    shown = Shown(table, Selection(metrics=("nll",), columns=("label", "nll", "verdict")))
    text = render_markdown(shown)
    assert "| strategy | nll [95 % of seeds] | verdict |" in text
    assert re.search(r"\| full \| \*\*1\.258 \[", text)
    assert not re.search(r"\| head-only \| \*\*", text)
    assert "- nll: beside the primary metric; ranks, Δ, p and verdicts are the primary's" in text
    assert re.search(r"\| lp-ft \| - \(1\.23 over 6\) \|", text)


def test_filters_know_the_metrics_that_are_shown(table: Table) -> None:
    rows = Shown(table, Selection(metrics=("nll",), where="nll < 1.27")).rows()
    assert [(row["variant"], row["label"]) for row in rows] == [("balanced", "full")]


def test_one_table_of_all_sections_names_what_varies(table: Table) -> None:
    text = render_markdown(Shown(table, Selection(group_by=())))
    assert "| variant | strategy | n/N |" in text
    assert text.count("### ") == 1
    assert "- net · pretrained · data / balanced: joint: skipped: needs a source set" in text
    by_variant = render_markdown(Shown(table, Selection(group_by=("variant",))))
    assert by_variant.count("### ") == 2


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"columns": ("lable",)}, "rows of groups have no column 'lable'; did you mean label?"),
        ({"sort": ("-lable",)}, "rows of groups have no column 'lable'; did you mean label?"),
        (
            {"metrics": ("nlll",)},
            "no record has the metric 'nlll'; there are: nll, test/nll",
        ),
        (
            {"metrics": ("q",)},
            "no record has the metric 'q'; there are: accuracy, nll, val/accuracy",
        ),
        (
            {"group_by": ("seed",)},
            (
                "no axis 'seed' to group by; axes: backbone, weights, dataset, variant, "
                "protocol_digest"
            ),
        ),
        (
            {"rows": "cells", "columns": ("rank",)},
            "rows of cells have no column 'rank'; rows of groups have it",
        ),
        ({"rows": "zz"}, "no rows 'zz'; choose one of auto, groups, cells"),
        (
            {"where": "seed == 1 and mean > 0"},
            (
                "filter 'seed == 1 and mean > 0': rows of cells have no column 'mean'; rows of "
                "groups have it; rows are cells here because of seed"
            ),
        ),
        (
            {"where": "mean > 0", "sort": ("-seed",)},
            (
                "filter 'mean > 0': rows of cells have no column 'mean'; rows of groups have it; "
                "rows are cells here because of seed"
            ),
        ),
        (
            {"where": "seed == 1", "columns": ("rank",)},
            (
                "rows of cells have no column 'rank'; rows of groups have it; rows are cells here "
                "because of seed"
            ),
        ),
        (
            {"where": "mean > 0", "rows": "cells"},
            "filter 'mean > 0': rows of cells have no column 'mean'; rows of groups have it",
        ),
        (
            {"where": "mean > 0 and seed == 1", "rows": "groups"},
            (
                "filter 'mean > 0 and seed == 1': rows of groups have no column 'seed'; rows of "
                "cells have it"
            ),
        ),
    ],
)
def test_mistakes_have_one_line(table: Table, selection: dict, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        Shown(table, Selection(**selection))
    assert str(caught.value) == message


def test_a_text_stands_for_a_tuple_of_one(table: Table) -> None:
    alone = Selection(metrics="nll", columns="label", sort="-mean", group_by="variant")
    assert alone == Selection(
        metrics=("nll",), columns=("label",), sort=("-mean",), group_by=("variant",)
    )
    assert [one.short for one in Shown(table, alone).metrics] == ["nll"]


@pytest.mark.parametrize("width", [100, 60])
def test_further_columns_stay_within_the_width(table: Table, width: int) -> None:
    shown = Shown(table, Selection(metrics=("nll", "val/accuracy"), group_by=()))
    assert max(map(len, plain_text(shown, width).splitlines())) <= width


# ---- hostile text --------------------------------------------------------------------------------

HOSTILE = "=cmd|' /C calc'!A0 \\input{/etc/passwd} $x_1^2$ %&#~ <b>|*`[a](b) \x1b[31m\x07\u202e\n"


@pytest.fixture(scope="module")
def hostile() -> Shown:
    changes = {"dataset": HOSTILE, "variant": HOSTILE}
    found = by_id(
        record(cell(name, seed, **changes), value)
        for name, value in ((HOSTILE, 0.5), ("@full", 0.6))
        for seed in range(3)
    )
    cells = tuple(one.cell for one in found.values())
    skip = Skip(cell=cell("-joint", 0, **changes), reason=HOSTILE)
    made = aggregate([Plan(cells=cells, skipped=(skip,))], found, ExactScoring())
    return Shown(made)


CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


def test_latex_of_hostile_names_has_no_command_of_theirs(hostile: Shown) -> None:
    text = render_latex(hostile)
    assert not CONTROL.search(text)
    assert r"\input" not in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    ours = set(re.findall(r"\\([A-Za-z]+)", text))
    assert ours <= {
        "begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "par",
        "parindent", "raggedright", "footnotesize", "textbf", "usepackage", "Delta", "uparrow",
        "downarrow", "textbackslash", "textasciicircum", "textasciitilde", "textless",
        "textgreater", "textbar", "textquotesingle", "textasciigrave", "textperiodcentered",
        "textdagger", "textquotedbl",
    }  # fmt: skip
    body = "\n".join(text.splitlines()[1:])
    assert not re.search(r"(?<!\\)[%#~^]", body)
    assert len(re.findall(r"(?<!\\)\$", body)) % 2 == 0
    assert body.replace(r"\{", "").replace(r"\}", "").count("{") == body.replace(r"\{", "").replace(
        r"\}", ""
    ).count("}")
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {8}


def test_a_minus_before_a_number_is_no_hyphen() -> None:
    assert escape("one-cycle -0.029 [-0.053, -.005] a-1 -") == (
        "one{-}cycle $-$0.029 {[}$-$0.053, $-$.005{]} a{-}1 {-}"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_of_hostile_names_compiles(hostile: Shown, tmp_path: Path) -> None:
    # Other scripts need another LaTeX (docs/formats.md).
    latin = render_latex(hostile).encode("latin-1", "replace").decode("latin-1")
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,textcomp}"
    document = f"{head}\n\\begin{{document}}\n{latin}\n\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_spreadsheet_computes_nothing(hostile: Shown) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(hostile))))
    assert not CONTROL.search(render_csv(hostile))
    for row in rows:
        for name, value in row.items():
            # What begins so is a number of ours, or has an apostrophe before it.
            assert not value.startswith(("=", "@", "+", "-")) or float(value) < 0, (name, value)
    assert rows[0]["strategy"].startswith(("'=cmd", "'@full"))


def test_programs_get_the_text_and_no_control_character(hostile: Shown) -> None:
    text = render_json(hostile)
    assert not CONTROL.search(text)
    assert any(row["strategy"].startswith("=cmd|") for row in json.loads(text))
    strategies = to_arrow(hostile)["strategy"].to_pylist()
    assert not any(CONTROL.search(one) for one in strategies)


def test_a_notebook_gets_no_markup(hostile: Shown) -> None:
    text = render_notebook(hostile)
    assert not CONTROL.search(text)
    assert "<b>|" not in text
    assert "&lt;b&gt;|" in text
