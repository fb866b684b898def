"""Answers to queries as texts: names apart, numbers whole, nothing obeyed."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from decimal import Decimal

import pytest

from sftbench.report.answers import answer_csv, answer_json, draw_answer, told, unique
from sftbench.report.terminal import without_colour

HOSTILE = "=cmd()\x1b[31m [red]x[/red]\u202e\n"
ROWS = [
    ("full", 0.123456789, None, [1.5, Decimal("2.25")], HOSTILE),
    ("scratch", float("nan"), 3, [], "ok"),
]
NAMES = ["a", "a", "n", "list", HOSTILE]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


def test_names_of_columns_are_apart() -> None:
    assert unique(["a", "b", "a", "a_1", "a"]) == ["a", "b", "a_1", "a_1_1", "a_2"]


@pytest.mark.parametrize("width", [100, 60])
def test_a_terminal_obeys_nothing_and_keeps_its_width(width: int) -> None:
    text = without_colour(draw_answer(NAMES, ROWS, width), width)
    assert not CONTROL.search(text)
    assert max(map(len, text.splitlines())) <= width
    assert "0.123457" in text
    assert "\\x1b[31m [red]x[/red]\\u202e\\n" in text.replace("\n", "") or width == 60
    assert text.splitlines()[-1] == "(2 rows)"


def test_a_row_that_is_too_wide_stands_upright() -> None:
    names = [f"column_{number}" for number in range(30)]
    text = without_colour(draw_answer(names, [tuple(range(30))], 100), 100)
    assert text.splitlines()[:2] == [" column_0  0", " column_1  1"]


def test_a_long_answer_says_that_it_is_cut() -> None:
    text = without_colour(draw_answer(["n"], ((n,) for n in range(2000)), 100), 100)
    assert text.splitlines()[-1] == "(the first 1000 rows; --format csv has all)"
    assert len(text.splitlines()) == 1002


def test_csv_is_whole_and_no_formula() -> None:
    text = "".join(answer_csv(unique(NAMES), iter(ROWS * 600)))
    assert not CONTROL.search(text)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 1201
    assert rows[0][:4] == ["a", "a_1", "n", "list"]
    assert rows[1][:4] == ["full", "0.123456789", "", "[1.5, 2.25]"]
    assert rows[1][4] == "'=cmd()\\x1b[31m [red]x[/red]\\u202e\\n"


def test_json_is_whole() -> None:
    text = "".join(answer_json(unique(NAMES), iter([*ROWS, ("x", 1, 2, dt.date(2026, 1, 2), "")])))
    assert not CONTROL.search(text)
    found = json.loads(text)
    assert found[0] == {
        "a": "full", "a_1": 0.123456789, "n": None, "list": [1.5, 2.25], HOSTILE: HOSTILE
    }  # fmt: skip
    assert found[1]["a_1"] is None
    assert found[2]["list"] == "2026-01-02"
    assert json.loads("".join(answer_json(["a"], []))) == []


def test_long_texts_are_cut_for_people() -> None:
    assert told("x" * 500) == "x" * 197 + "..."
