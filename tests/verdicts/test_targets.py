from __future__ import annotations

import itertools

import pytest
from support.tables import cell, plan, results

from sftbench.errors import RequestError
from sftbench.plan import Plan
from sftbench.verdicts.evidence import Section
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.selection import Wanted
from sftbench.verdicts.targets import matches, select

ANY = Wanted()


@pytest.fixture(scope="module")
def sections() -> tuple[Section, ...]:
    """One plan on balanced data, and one on a long tail with three shares of `partial`."""
    tail = [
        *(cell("head-only", seed, variant="longtail:50") for seed in range(2)),
        *(
            cell("partial", seed, variant="longtail:50", options={"k": k})
            for k in (1, 2, 3)
            for seed in range(2)
        ),
    ]
    plans = [plan(["head-only", "full"], seeds=2), Plan(cells=tuple(tail))]
    return find_sections(plans, results({"head-only": [0.7, 0.7]}))


def test_a_label_a_strategy_and_an_id_name_what_they_say(sections: tuple[Section, ...]) -> None:
    assert select(sections, "full", ANY).group.label == "full"
    found = select(sections, "partial (k=2)", ANY)
    assert (found.group.cell.options, found.seed) == ({"k": 2}, None)
    assert select(sections, "full †", ANY).group.label == "full"  # as the table prints it
    wanted = cell("full", 1).cell_id
    for length in (16, 6):
        found = select(sections, wanted[:length], ANY)
        assert (found.group.label, found.seed) == ("full", 1)


def test_a_number_is_a_row_of_the_table(sections: tuple[Section, ...]) -> None:
    rows = [(one.key, group.label) for one in sections for group in reversed(one.groups)]
    assert select(sections, "1", ANY, lambda: rows).group.label == "full"
    tail = Wanted(variant="longtail:50")
    assert select(sections, "1", tail, lambda: rows).group.label == "partial (k=3)"
    with pytest.raises(RequestError) as caught:
        select(sections, "7", ANY, lambda: rows)
    assert str(caught.value) == "the table has no row 7; its rows are 1 to 6"


def test_sections_are_chosen_by_what_differs(sections: tuple[Section, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        select(sections, "head-only", ANY)
    assert str(caught.value) == (
        "2 sections have 'head-only'; choose by --variant (balanced, longtail:50)"
    )
    by = Wanted(variant="longtail:50", dataset="data", protocol="default")
    assert select(sections, "head-only", by).section is sections[1]


@pytest.mark.parametrize(
    ("target", "by", "message"),
    [
        (
            "ful",
            {"variant": "balanced"},
            "unknown group 'ful'; did you mean 'full'? there are: full, head-only",
        ),
        (
            "00000000",
            {"variant": "balanced"},
            "unknown group or cell '00000000'; there are: full, head-only",
        ),
        (
            "partial",
            {},
            (
                "'partial' names 3 groups: partial (k=1), partial (k=2), partial (k=3); "
                "write one of them"
            ),
        ),
        (
            "full",
            {"variant": "longtail:5"},
            (
                "unknown variant 'longtail:5'; did you mean 'longtail:50'? there are: balanced, "
                "longtail:50"
            ),
        ),
        (
            "\x1b[31mfull",
            {"variant": "balanced"},
            "unknown group '\\x1b[31mfull'; did you mean 'full'? there are: full, head-only",
        ),
    ],
)
def test_mistakes(
    sections: tuple[Section, ...], target: str, by: dict[str, str], message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        select(sections, target, Wanted(**by))
    assert str(caught.value) == message


def test_an_id_that_begins_several_cells_is_asked_about() -> None:
    # Found by counting: of 4,000 cells some share their first four digits.
    many = find_sections([plan(["full"], seeds=1000)], {})
    ids = sorted(one.cell_id for one in many[0].groups[0].cells.values())
    first = next(a[:4] for a, b in itertools.pairwise(ids) if a[:4] == b[:4])
    assert len(matches(many, first)) > 1
    with pytest.raises(RequestError, match=rf"^'{first}' begins \d+ ids of cells: .*; write more$"):
        select(many, first, ANY)
