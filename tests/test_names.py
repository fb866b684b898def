from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftbench.names import (
    cause,
    is_valid_name,
    nearest,
    one_line,
    shown,
    split_reference,
    unknown_name,
)

VALID = [
    "full",
    "lp-ft",
    "tf_efficientnet_lite0",
    "torchvision/resnet50",
    "a1_in1k.v2+x=3",
    "7",
    "x" * 100,
]
INVALID = [
    "",
    " full",
    "full ",
    "full\n",
    "a b",
    "../x",
    "a/../b",
    "a..b",
    "/etc/passwd",
    "a//b",
    "a/",
    "a/./b",
    "a/.hidden",
    ".hidden",
    "-rf",
    "_x",
    "a:b",
    "a\\b",
    "x" * 101,
    "\x1b[31mred",
    "naïve",
    "a\x00",
    "٣",
]


@pytest.mark.parametrize("name", VALID)
def test_valid_name(name: str) -> None:
    assert is_valid_name(name)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_name(name: str) -> None:
    assert not is_valid_name(name)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("full", ("full", None)),
        ("longtail:100", ("longtail", "100")),
        ("longtail:", ("longtail", "")),
        ("arrays:C:/data:1", ("arrays", "C:/data:1")),
        (":x", ("", "x")),
        ("", ("", None)),
    ],
)
def test_split_reference(reference: str, parts: tuple[str, str | None]) -> None:
    assert split_reference(reference) == parts


@pytest.mark.parametrize(
    ("wrong", "names", "found"),
    [
        ("fulll", ["full", "head-only"], ["full"]),
        ("FULL", ["full", "head-only"], ["full"]),
        ("longtial", ["longtail", "fewshot"], ["longtail"]),
        ("res", ["torchvision/resnet50"], ["torchvision/resnet50"]),
        ("re", ["torchvision/resnet50"], []),
        ("zzz", ["full"], []),
        ("aaaa", ["aaab", "aaac", "aaad", "aaae"], ["aaae", "aaad", "aaac"]),
        ("full", [], []),
        ("x" * 201, ["x" * 100], []),
    ],
)
def test_nearest(wrong: str, names: list[str], found: list[str]) -> None:
    assert nearest(wrong, names) == found


def test_unknown_name_with_near_ones() -> None:
    assert (
        unknown_name("strategy", "lpft", ["full", "lp-ft", "head-only"])
        == "unknown strategy 'lpft'; did you mean 'lp-ft'?"
    )
    assert (
        unknown_name("metric", "recal", ["few_recall", "many_recall", "nll"])
        == "unknown metric 'recal'; did you mean 'few_recall' or 'many_recall'?"
    )


def test_unknown_name_with_a_few_others_or_none() -> None:
    assert unknown_name("task", "zzz", ["b", "a", "a"]) == "unknown task 'zzz'; known: a, b"
    assert unknown_name("task", "zzz", []) == "unknown task 'zzz'; known: none"


def test_unknown_name_with_many_others() -> None:
    many = [f"n{i}" for i in range(13)]

    assert unknown_name("metric", "qqq", many[:12]).startswith("unknown metric 'qqq'; known: n0,")
    assert unknown_name("metric", "qqq", many) == "unknown metric 'qqq'; see: sftbench list metrics"
    assert (
        unknown_name("strategy", "qqq", many, "strategies")
        == "unknown strategy 'qqq'; see: sftbench list strategies"
    )


def test_unknown_name_that_attacks_a_terminal_or_is_endless() -> None:
    assert (
        unknown_name("task", "\x1b[2J\n\u202e", ["a"])
        == r"unknown task '\x1b[2J\n\u202e'; known: a"
    )
    assert unknown_name("task", "x" * 10**7, ["a"]) == f"unknown task '{'x' * 116}...; known: a"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain text", "plain text"),
        ("  two\n\n lines\r\n\tand a tab ", "two lines and a tab"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("bell\x07 null\x00 csi\x9b", r"bell\x07 null\x00 csi\x9b"),
        ("right\u202eto\u2066left\u200b", r"right\u202eto\u2066left\u200b"),
        ("line\u2028separator", "line separator"),
        ("lone \ud800", r"lone \ud800"),
        ("Grüße, 数据", "Grüße, 数据"),
        ("", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_one_line_is_cut_at_its_limit() -> None:
    assert one_line("x" * 300) == "x" * 300
    assert one_line("x" * 301) == "x" * 297 + "..."
    assert one_line("\x1b" * 301, 20) == r"\x1b\x1b\x1b\x1b\..."
    assert one_line("abcdef", 5) == "ab..."


@given(st.text(), st.integers(3, 400))
def test_one_line_always_holds_its_promise(text: str, limit: int) -> None:
    line = one_line(text, limit)

    assert line.isprintable()
    assert len(line) <= limit
    assert one_line(line, limit) == line


def test_shown() -> None:
    assert shown("full") == "'full'"
    assert shown(3.5) == "3.5"
    assert shown(None) == "None"
    assert shown("a\nb") == r"'a\nb'"
    assert shown(list(range(1000)), 20) == "[0, 1, 2, 3, 4, 5..."


def test_cause() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise TypeError

    assert cause(ValueError("no\n luck")) == "ValueError: no luck"
    assert cause(ValueError()) == "ValueError"
    assert cause(ValueError(" ")) == "ValueError"
    assert cause(SystemExit(2)) == "SystemExit: 2"
    assert cause(KeyError("k")) == "KeyError: 'k'"
    assert cause(MuteError()) == "MuteError"
    assert len(cause(ValueError("x" * 1000))) == 300
