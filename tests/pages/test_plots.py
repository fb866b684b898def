from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import matplotlib as mpl
import pytest

from sftbench.pages.plots import (
    INK,
    SERIES,
    Plot,
    as_csv,
    drawing,
    finished,
    label,
    short_labels,
    style,
)

EVIL = '</text></svg><script>alert(1)</script>" onload="x" $\\frac{1}{2}$ \x00'


def plot_of(text: str, name: str = "one") -> Plot:
    with drawing() as axes:
        axes.plot([0, 1], [0, 1], label=label(text, 200), **style(0))
        axes.set_title(label(text, 200))
        axes.legend()
        return finished(axes, name=name, alt=text, columns=("x", "y"), rows=[(0, None), (1, 0.5)])


def texts(plot: Plot) -> list[str]:
    root = ET.fromstring(plot.svg)
    return ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]


def test_hostile_labels_stay_text() -> None:
    plot = plot_of(EVIL)
    assert [text for text in texts(plot) if "script" in text] == [label(EVIL, 200)] * 2
    assert "<script" not in plot.svg
    tags = {one.tag.rpartition("}")[2] for one in ET.fromstring(plot.svg).iter()}
    assert tags <= {"svg", "g", "path", "defs", "use", "text", "clipPath", "rect"}
    assert not re.search(r"<[^>]* on\w+=", re.sub(r'"[^"]*"', '""', plot.svg))


def test_colours_are_variables_and_nothing_is_fixed() -> None:
    svg = plot_of("full").svg
    assert "var(--series-0)" in svg
    assert "var(--plot-ink)" in svg
    assert INK not in svg
    assert SERIES[0] not in svg
    assert not re.search(r"#[0-9a-f]{6}\b(?!-)", re.sub(r'(href|id)="[^"]*"|url\([^)]*\)', "", svg))
    assert "font-family" not in svg
    assert "<style" not in svg


def test_ids_of_two_plots_differ_and_lead_somewhere() -> None:
    one, two = plot_of("a", "one").svg, plot_of("a", "two").svg
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, two), ids, strict=True):
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {
            pair for place in own for pair in ((place, ""), ("", place))
        }


def test_the_same_data_gives_the_same_bytes_and_no_setting_stays() -> None:
    before = dict(mpl.rcParams)
    assert plot_of("full") == plot_of("full")
    assert dict(mpl.rcParams) == before


def test_data_as_csv_comes_back() -> None:
    plot = plot_of("full")
    assert plot.csv == "x,y\n0,\n1,0.5\n"
    head, _, data = plot.href.partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert unquote(data) == plot.csv


def test_csv_runs_no_formula() -> None:
    text = as_csv(("name", "value"), [("=cmd()", -1.5), ("a,b\n", None), ("-x", 2)])
    assert list(csv.reader(io.StringIO(text)))[1:] == [
        ["'=cmd()", "-1.5"],
        ["a,b", ""],
        ["'-x", "2"],
    ]


def test_no_two_of_32_series_look_alike() -> None:
    assert len({tuple(sorted(style(number).items())) for number in range(32)}) == 32


def test_long_names_are_cut_in_the_middle() -> None:
    names = ["head-only+class-balanced", "full", "head-only+class-balanced-sampling"]
    assert short_labels(names, 22) == ["head-only+...-balanced", "full", "head-only+...-sampling"]
    assert short_labels(names, 40) == names
    assert short_labels([], 22) == []


@pytest.mark.parametrize(
    ("names", "limit"),
    [
        (["a" * 20 + "b" + "c" * 20, "a" * 20 + "d" + "c" * 20], 38),
        ([f"{'a' * 100}{number}{'c' * 100}" for number in range(3)], 20),
        (["x" * 30, "x" * 31, "xxxx...xxx"], 10),
        (["a\x00", r"a\x00"], 20),
    ],
)
def test_labels_differ_where_names_do_and_stay_short(names: list[str], limit: int) -> None:
    found = short_labels(names, limit)
    assert len(set(found)) == len(names)
    assert max(map(len, found)) <= limit * 5 // 4 + len(" (3)")
    assert short_labels([*names, names[0]], limit) == [*found, found[0]]


def test_drawing_needs_no_display_and_no_torch() -> None:
    code = (
        "import sys; from sftbench.pages.plots import drawing\n"
        "with drawing(): pass\n"
        "print([n for n in ('torch', 'matplotlib.pyplot', 'tkinter') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
