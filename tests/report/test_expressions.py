"""Filters: what they mean, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftbench.errors import RequestError
from sftbench.report.expressions import Kind, parse_filter

KINDS: dict[str, Kind] = {"strategy": "text", "variant": "text", "seed": "number", "mean": "number"}
ROW = {"strategy": "full", "variant": "longtail:50", "seed": 3, "mean": None}


@pytest.mark.parametrize(
    ("text", "is_meant"),
    [
        ("strategy != 'scratch' and seed < 5", True),
        ("strategy == 'scratch' or seed < 3", False),
        ("not seed < 3", True),
        ("0 <= seed < 4", True),
        ("0 <= seed < 3", False),
        ("seed in (1, 3)", True),
        ("seed not in [1, 3]", False),
        ("seed in ()", False),
        ("'tail' in variant", True),
        ("'tail' not in variant", False),
        ("seed > -1", True),
        ("mean > 0.5", False),
        ("mean <= 0.5", False),
        ("mean != 0.5", False),
        ("mean == None", True),
        ("mean is None", True),
        ("mean != None", False),
        ("seed is not None", True),
        ("strategy == variant", False),
        (" \n seed == 3", True),
        ("(seed == 3) and (strategy == 'full' and not (mean > 1 or seed == 4))", True),
    ],
)
def test_meaning(text: str, is_meant: bool) -> None:
    assert parse_filter(text, KINDS).holds(ROW) is is_meant


def test_names_are_the_columns_that_are_asked_for() -> None:
    assert parse_filter("seed < 3 or 'a' in variant", KINDS).names == {"seed", "variant"}


ALLOWED = "names, numbers, texts in quotes, ==, !=, <, <=, >, >=, in, not in, and, or, not, ( )"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("open('/etc/passwd')", f"a call is not allowed; allowed: {ALLOWED}"),
        ("__import__('os').system('x') == 0", f"a call is not allowed; allowed: {ALLOWED}"),
        ("strategy.__class__ == 1", f"an attribute is not allowed; allowed: {ALLOWED}"),
        ("strategy[0] == 'f'", f"an index is not allowed; allowed: {ALLOWED}"),
        ("seed + 1 < 3", f"arithmetic is not allowed; allowed: {ALLOWED}"),
        ("9**9**9 < seed", f"arithmetic is not allowed; allowed: {ALLOWED}"),
        ("f'{seed}' == '3'", f"an f-string is not allowed; allowed: {ALLOWED}"),
        ("(lambda: 1) == 1", f"a lambda is not allowed; allowed: {ALLOWED}"),
        ("[s for s in seed] == 1", f"a ListComp is not allowed; allowed: {ALLOWED}"),
        ("True", f"True is neither a number nor a text; allowed: {ALLOWED}"),
        ("seed == 1j", f"1j is neither a number nor a text; allowed: {ALLOWED}"),
        ("seed", "seed alone is no condition; compare it with something"),
        ("sead < 3", "no column 'sead'; did you mean seed or mean?"),
        ("quux < 3", "no column 'quux'; columns: strategy, variant, seed, mean"),
        ("seed < 'a'", "seed is a number and 'a' a text"),
        ("strategy in ('a', 3)", "strategy is a text and 3 a number"),
        ("seed < None", "None has no order; use == None or != None"),
        ("seed is 3", "is stands before None alone; use == or !="),
        (
            "seed in variant",
            (
                "in asks for a text within a text or for one of a list, as in 'tail' in variant "
                "or seed in (0, 1), not for seed in variant"
            ),
        ),
        ("not " * 30 + "seed < 3", "is nested deeper than 20 levels"),
        ("seed < 3 or " * 100 + "seed < 3", "has 1208 characters; the most is 1000"),
    ],
)
def test_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_filter(text, KINDS)
    message = str(caught.value)
    assert message.startswith("filter ")
    assert message.endswith(f": {why}")


@pytest.mark.parametrize("text", ["", "seed <", "seed = 3", "(" * 500, "seed < 3; 1", "\0", "'a"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        parse_filter(text, KINDS)


@given(st.text(alphabet="sed <>=!()'\"nmaotrif[]{}0123.+-*@\\:,\x00\x1b\u202e", max_size=60))
def test_any_text_is_a_filter_or_one_line(text: str) -> None:
    try:
        found = parse_filter(text, KINDS)
    except RequestError as error:
        told = str(error)
    else:
        told = str(found.holds(ROW))
    assert told.isprintable()
