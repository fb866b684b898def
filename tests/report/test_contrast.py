"""A comparison in words: widths, foreign text, what is told of ties, gaps and data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import pytest
from rich.cells import cell_len
from support.tables import ExactScoring, Hits, by_id, cell, classes, ended, record

from sftbench.plan import Plan
from sftbench.records import ClassResult, Record
from sftbench.report.contrast import blocks, conclusion
from sftbench.report.contrast_blocks import Facts
from sftbench.report.contrast_document import document
from sftbench.report.contrast_text import markdown_contrast, plain_contrast
from sftbench.report.critical_difference import draw
from sftbench.verdicts.across import Ranking
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.datasets import Contrast, contrast_pairs
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.selection import Wanted, find_pairs

EVIL = "<b>|x`\x1b[31m @me [a](http://b) " + "wide漢字" * 12
"""A name as somebody else's record may hold it."""


def make(
    values: Mapping[str, Sequence[float]],
    names: tuple[str, str] = ("full", "head-only"),
    records: Mapping[str, Record] | None = None,
    label: str = "Shirt",
    datasets: Sequence[str] = ("data",),
) -> Contrast:
    seeds = len(next(iter(values.values())))
    per_class = (
        ClassResult(label=label, train_count=9, support=100, recall=0.5),
        *classes([60, 70])[1:],
    )
    found = by_id(
        record(cell(name, seed, dataset=data), value, per_class=per_class)
        for data in datasets
        for name, some in values.items()
        for seed, value in enumerate(some)
    )
    plans = [
        Plan(cells=tuple(cell(x, s, dataset=data) for x in values for s in range(seeds)))
        for data in datasets
    ]
    sections = find_sections(plans, {**found, **(records or {})})
    pairs, _ = find_pairs(sections, *names, Wanted())
    return contrast_pairs(
        names, pairs, None, scoring=ExactScoring(num_examples=100), outcomes=Hits(),
        criteria=Criteria(), num_examples=5,
    )  # fmt: skip


VALUES = {"head-only": [0.5] * 7, "full": [0.6, 0.62, 0.61, 0.6, 0.63, 0.6, 0.6]}


def test_the_conclusion_says_who_is_better_and_by_how_much() -> None:
    assert conclusion(make(VALUES).sections[0]) == "full is better than head-only: accuracy +.109"
    turned = make(VALUES, ("head-only", "full")).sections[0]
    assert conclusion(turned) == "head-only is worse than full: accuracy -.109"


def test_the_conclusion_says_what_is_missing() -> None:
    few = make({name: some[:3] for name, some in VALUES.items()}).sections[0]
    assert conclusion(few) == "inconclusive (needs 6 seeds): accuracy +.110 ↑"
    tied = make({"head-only": [0.5] * 7, "full": [0.5] * 7}).sections[0]
    assert conclusion(tied) == "tied: full and head-only are equal in 7 of 7 seeds"
    failed = by_id([ended(cell("full", 1), "diverged")])
    assert conclusion(make(VALUES, records=failed).sections[0]) == (
        "inconclusive (full: 1 of 7 seeds failed): accuracy +.107 over the 6 seeds that both "
        "completed"
    )


def test_the_facts_name_both_estimands_and_the_family() -> None:
    [facts] = [dict(one.rows) for one in blocks(make(VALUES)) if isinstance(one, Facts)]
    assert facts["A: full"] == ".609 over 7/7 seeds; in the table: success"
    assert facts["on this test set"].endswith("95 %: seeds vary")
    assert facts["in the population"].endswith("95 %: seeds and test examples vary")
    assert facts["p"] == (
        ".016 by sign flips over 7 paired seeds; .016 adjusted by Holm over 1: every comparison "
        "with head-only"
    )
    assert facts["A better"] == (
        "in 7 of 7 seeds, 0 tied: probability 1.00 [0.59, 1.00] at the same seed, 1.00 over all "
        "pairs of seeds"
    )
    assert facts["rule"] == "adjusted p < 0.05, population without 0, at least .010"


@pytest.mark.parametrize("width", [60, 100])
def test_no_line_is_wider_than_asked(width: int) -> None:
    five = [f"{EVIL} {number}" for number in range(5)]
    values = {**VALUES, "an-own-strategy-with-a-long-name": [0.55] * 7}
    contrast = make(values, ("full", "an-own-strategy-with-a-long-name"), label=EVIL, datasets=five)
    text = plain_contrast(contrast, width)
    assert len(contrast.across) == 1
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    # The letters of the facts stand for a name that heads no column.
    assert "A: full" in text
    assert "an-own-strategy-with-a" in text


def test_foreign_text_is_inert_in_markdown() -> None:
    text = markdown_contrast(make(VALUES, label=EVIL))
    assert "<b>" not in text
    assert "\x1b" not in text
    assert re.search(r"(?<!\\)\]\(", text) is None
    rows = [line for line in text.splitlines() if line.startswith("| ") and "wide" in line]
    assert len(rows) >= 2
    assert all(line.replace("\\|", "").count("|") in (7, 8) for line in rows)


def test_the_document_is_json_with_every_number() -> None:
    contrast = make(VALUES, label=EVIL)
    text = json.dumps(document(contrast), allow_nan=False)
    [section] = json.loads(text)["sections"]
    found = contrast.sections[0]
    assert section["comparison"]["p_adjusted"] == found.comparison.p_adjusted
    assert section["effect"]["hedges_g"] == found.effect.hedges_g
    assert section["a"]["values"] == {str(seed): one for seed, one in found.a.values.items()}
    assert section["details"]["models"][0]["only_a"] == found.details.models[0].only_a
    assert section["metric"]["name"] == "accuracy"
    assert "\x1b" not in text


def test_a_diagram_of_critical_differences() -> None:
    ranking = Ranking((1.0, 2.5, 2.75, 3.75), 5, 9.0, 0.03, 2.0, ((0, 1, 2), (1, 2, 3)))
    assert list(draw(ranking, ["full", "lp-ft", "head-only", "scratch"], 60)) == [
        "mean rank                1          2          3          4",
        "                         +----------+----------+----------+",
        "full                1.00 o",
        "lp-ft               2.50                 o",
        "head-only           2.75                    o",
        "scratch             3.75                               o",
        "not told apart           ====================",
        "not told apart                           ===============",
        "critical difference 2.00 |---------------------|",
    ]
