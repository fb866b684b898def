from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console
from support.records import make_cell, make_outputs, make_record
from support.tables import ExactScoring, by_id, cell, classes, ended, plan, record, results

from sftbench.plan import Plan, Skip
from sftbench.records import ClassResult, Memory, Timing
from sftbench.report.aggregate import Table, aggregate
from sftbench.report.markdown import escape, render_markdown
from sftbench.report.terminal import plain_text, render_terminal
from sftbench.results import Results
from sftbench.store import Store

LONGTAIL = [500, 320, 210, 140, 90, 60, 40, 25, 16, 10]


@pytest.fixture(scope="module")
def table() -> Table:
    """One of each: success, failure with a reason, a failed seed, scratch, a skip."""
    names = ["head-only", "full", "lp-ft", "scratch"]
    found = results({"head-only": [0.7] * 7, "lp-ft": [0.8] * 6})
    for seed in range(7):
        collapsed = classes([95, 90, 90, 90, 90, 90, 90, 90, 65, 0], 100, LONGTAIL)
        spread = 0.78 + 0.01 * (seed % 2)
        found |= by_id(
            [
                record(cell("full", seed), spread, per_class=collapsed),
                record(
                    cell("scratch", seed),
                    0.6,
                    provenance={"weights": {"effective": "none"}},
                    timing=Timing(total_seconds=123.4),
                    memory=Memory(peak_rss_bytes=2_345_678_901),
                ),
            ]
        )
    found |= by_id([ended(cell("lp-ft", 6), "timed_out", "600 seconds")])
    skips = tuple(Skip(cell=cell("joint", s), reason="needs a source set") for s in range(7))
    return aggregate([Plan(cells=plan(names).cells, skipped=skips)], found, ExactScoring())


GOLDEN = """\
### net · pretrained · data / balanced

protocol default (3 epochs, batch 32, 64 px, adamw one-cycle, rates 0.01/0.003/0.001/0.003, fp32, \
selected by validation, 1200 training images, 1000 test images) DIGEST

| strategy | n/N | accuracy [95 % of seeds] | Δ to head-only [95 % population] | p | worst class \
| s per cell | MB | verdict |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| full | 7/7 | **0.784 [0.779, 0.789]** | +0.084 [+0.067, +0.101] | 0.047 | **0.00** | **10.0** \
| **500** | failure |
| head-only | 7/7 | 0.700 [0.700, 0.700] | - | - | - | **10.0** | **500** | baseline |
| scratch † | 7/7 | 0.600 [0.600, 0.600] | -0.100 [-0.119, -0.081] | 0.047 | - | 123 | 2346 \
| failure |
| lp-ft | 6/7 | - (0.800 over 6) | - | - | - | 10.0 | 500 | inconclusive ↑ |
| joint | - | - | - | - | - | - | - | skipped |

- full: MINORITY_COLLAPSE (7 of 7 seeds): seed 0: worst class 'Scarf' recall 0.00 (upper 95 % \
bound 0.030 &lt; 0.05)
- scratch †: starts from other weights: none
- lp-ft: UNSTABLE: RESOURCE in 1 of 7 seeds (seed 6: timed out: Error: 600 seconds)
- lp-ft: inconclusive: 1 of 7 seeds failed
- lp-ft: ends: 6 ok, 1 timed_out
- joint: skipped: needs a source set
"""


def test_golden_markdown(table: Table) -> None:
    text = render_markdown(table)
    digest = table.sections[0].protocol_digest
    assert text.startswith(GOLDEN.replace("DIGEST", digest))
    assert "\n- Holm family of net · pretrained · data / balanced: 3 comparisons\n" in text
    assert "\n- criteria: adjusted p &lt; 0.05; " in text


def test_terminal_table(table: Table) -> None:
    lines = plain_text(table).splitlines()
    assert lines[0] == "net · pretrained · data / balanced"
    row = next(line for line in lines if line.startswith("full "))
    assert row.split() == [
        "full", "7/7", ".784", "[.779,", ".789]*", "+.084", "[+.067,", "+.101]", ".047", ".00*",
        "10.0*", "500*", "failure",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "joint: skipped: needs a source set" in text
    assert "Holm family of net · pretrained · data / balanced: 3 comparisons" in text
    assert "criteria: adjusted p < 0.05" in text


@pytest.mark.parametrize("width", [100, 80, 60])
def test_no_line_is_wider_than_asked(table: Table, width: int) -> None:
    assert max(map(len, plain_text(table, width).splitlines())) <= width


def test_long_names_and_numbers_stay_within_the_width() -> None:
    name = "a-strategy-with-a-name-of-the-greatest-length/" + "x" * 50
    found = by_id(
        record(
            cell(strategy, seed, backbone="b" * 100, dataset="d" * 100),
            accuracy,
            timing=Timing(total_seconds=1234567.8),
            memory=Memory(peak_rss_bytes=123_456_000_000),
        )
        for strategy, accuracy in (("base-" * 12, 0.9), (name, 0.1))
        for seed in range(7)
    )
    cells = tuple(one.cell for one in found.values())
    table = aggregate([Plan(cells=cells, baseline="base-" * 12)], found, ExactScoring())
    text = plain_text(table)
    assert max(map(len, text.splitlines())) <= 100
    assert "-.800" in text
    assert text.count("x") >= 50


def test_the_renderable_keeps_its_width_in_a_wider_terminal(table: Table) -> None:
    console = Console(width=200, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render_terminal(table))
    assert max(len(line.rstrip()) for line in capture.get().splitlines()) <= 100


def test_the_best_are_bold_on_a_terminal(table: Table) -> None:
    console = Console(width=100, force_terminal=True, color_system="standard", legacy_windows=False)
    with console.capture() as capture:
        console.print(render_terminal(table))
    assert "\x1b[1m.784 [.779, .789]*\x1b[0m" in capture.get()


# ---- hostile text --------------------------------------------------------------------------------

HOSTILE = "[red]x[/red] | `rm` <img src=x> \x1b[31m\x07 [a](http://e) \u202e"


def hostile_table() -> Table:
    changes = {"dataset": HOSTILE, "backbone": HOSTILE}
    names = {HOSTILE: 0.5, "full": 0.6}
    collapsed = (
        ClassResult(label=HOSTILE, train_count=10, support=100, recall=0.0),
        ClassResult(label="ok", train_count=500, support=100, recall=0.9),
    )
    found = by_id(
        record(cell(name, seed, **changes), value, per_class=collapsed)
        for name, value in names.items()
        for seed in range(3)
    )
    failed = cell("full", 3, **changes)
    found |= by_id([ended(failed, "crashed", HOSTILE)])
    skip = Skip(cell=cell("joint", 0, **changes), reason=HOSTILE)
    cells = (*(one.cell for one in found.values()), failed)
    return aggregate([Plan(cells=cells, skipped=(skip,), baseline=HOSTILE)], found, ExactScoring())


def test_a_terminal_obeys_nothing_in_a_name() -> None:
    text = plain_text(hostile_table())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "[red]x[/red]" in text
    assert "\\x1b[31m\\x07" in text
    assert max(map(len, text.splitlines())) <= 100


def test_results_are_printed_as_plain_text(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cells = [make_cell(strategy=name, dataset=HOSTILE) for name in ("full", "head-only")]
    store.add_plan(Plan(cells=tuple(cells)))
    for one in cells:
        store.write(make_record(one), make_outputs())
    text = str(Results(tmp_path))
    assert text == plain_text(Results(tmp_path).table)
    assert "criteria: adjusted p < 0.05" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_markdown_of_hostile_names_keeps_its_table() -> None:
    text = render_markdown(hostile_table())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "<img" not in text
    assert not re.search(r"(?<!\\)`", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    table_lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table_lines) == 5
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table_lines} == {10}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0"),
        ("_a_ **b**", "\\_a\\_ \\*\\*b\\*\\*"),
        ("[x](y) ![i](u)", "\\[x\\](y) \\!\\[i\\](u)"),
        ("[1](u)", "[1\\](u)"),
        ("+0.1 [-0.2, +0.4]", "+0.1 [-0.2, +0.4]"),
        ("a\\|b", "a\\\\\\|b"),
        ("<b>&lt;&amp R&D @me", "&lt;b>&amp;lt;&amp R&D &#64;me"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped
