"""Lines of keys, against texts whose lines are known and against the standard library's parser."""

from __future__ import annotations

import json
import string
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftbench.toml_lines import MAX_DEPTH, Key, TooMuchError, key_lines

EXAMPLE = r'''
# a comment with [brackets] and "quotes"
a = 1
b.c = [1, [2,
 3], {x = "}", y.z = '#'}]
"q\u0041" = """
[no.table]
no = 1
"""""
[t . 'u "v"']   # [x]
k = 1979-05-27 07:32:00
l = TTT'
\'TTT'
[[r]]
n = 1
[[r]]
n = 2
[r.s]
[[r.t]]
[[r.t]]
z = {}
[a1.b1]
'''.replace("TTT", "'" * 3)


def test_lines_of_an_example() -> None:
    found = key_lines(EXAMPLE)
    assert found == {
        ("a",): 3,
        ("b",): 4,
        ("b", "c"): 4,
        ("b", "c", 0): 4,
        ("b", "c", 1): 4,
        ("b", "c", 1, 0): 4,
        ("b", "c", 1, 1): 5,
        ("b", "c", 2): 5,
        ("b", "c", 2, "x"): 5,
        ("b", "c", 2, "y"): 5,
        ("b", "c", 2, "y", "z"): 5,
        ("qA",): 6,
        ("t",): 10,
        ("t", 'u "v"'): 10,
        ("t", 'u "v"', "k"): 11,
        ("t", 'u "v"', "l"): 12,
        ("r",): 14,
        ("r", 0): 14,
        ("r", 0, "n"): 15,
        ("r", 1): 16,
        ("r", 1, "n"): 17,
        ("r", 1, "s"): 18,
        ("r", 1, "t"): 19,
        ("r", 1, "t", 0): 19,
        ("r", 1, "t", 1): 20,
        ("r", 1, "t", 1, "z"): 21,
        ("a1",): 22,
        ("a1", "b1"): 22,
    }
    assert set(found) == set(places(tomllib.loads(EXAMPLE)))


def places(value: object, place: Key = ()) -> list[Key]:
    """Return the way to everything in a document."""
    inside: Any = {}
    if isinstance(value, dict):
        inside = value
    elif isinstance(value, list):
        inside = dict(enumerate(value))
    found = [place] if place else []
    return found + [one for key, part in inside.items() for one in places(part, (*place, key))]


class Writer:
    """Writes random TOML and notes the line of everything it writes."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Key, int] = {}

    def document(self) -> None:
        keys = st.lists(st.text(min_size=1, max_size=4), unique=True, min_size=1, max_size=4)
        names = self.draw(keys)
        for name in names:
            self.gap()
            self.pair((), name, depth=0)
            self.end_line()
        for name in self.draw(keys):
            if name in names:
                continue
            self.gap()
            if self.draw(st.booleans()):
                self.note((name,))
                self.text += f"[ {self.spelled(name)} ]"
                self.body((name,))
            else:
                self.note((name,))
                for number in range(self.draw(st.integers(1, 3))):
                    self.note((name, number))
                    self.text += f"[[{self.spelled(name)}]]"
                    self.body((name, number))
                    self.gap()

    def body(self, table: Key) -> None:
        self.end_line()
        for name in self.draw(st.lists(st.text(max_size=3), unique=True, max_size=3)):
            self.gap()
            self.pair(table, name, depth=0)
            self.end_line()

    def pair(self, table: Key, name: str, depth: int) -> None:
        place = (*table, name)
        self.note(place)
        self.text += self.spelled(name)
        if self.draw(st.booleans()):
            place = (*place, "x.y")
            self.note(place)
            self.text += " . 'x.y'"
        self.text += self.draw(st.sampled_from(["=", " = ", "\t="]))
        self.value(place, depth)

    def value(self, place: Key, depth: int) -> None:
        kinds = ["scalar", "string"] + (["array", "table"] if depth < 3 else [])
        kind = self.draw(st.sampled_from(kinds))
        if kind == "scalar":
            values = ["1", "-0.5e3", "true", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "inf"]
            self.text += self.draw(st.sampled_from(values))
        elif kind == "string":
            self.string()
        elif kind == "array":
            self.text += "["
            for number in range(self.draw(st.integers(0, 3))):
                self.gap()
                self.note((*place, number))
                self.value((*place, number), depth + 1)
                self.gap()
                self.text += ","
            self.gap()
            self.text += "]"
        else:
            self.text += "{"
            names = self.draw(st.lists(st.text(max_size=3), unique=True, max_size=3))
            for number, name in enumerate(names):
                self.text += ", " if number else " "
                self.pair(place, name, depth + 1)
            self.text += " }"

    def string(self) -> None:
        text = self.draw(st.text(string.ascii_letters + "'\"#[]{}=,\n\\", max_size=8))
        plain = text.replace("\\", "").replace("'", "").replace('"', "")
        forms = [json.dumps(text), f"'{plain}'".replace("\n", ""), f"'''{plain}'''"]
        forms += [
            f'"""{plain}"""',
            f"'''' {plain} '''''",
            f'"""" {plain} """""',
            f'"""\\"{plain}"""',
        ]
        self.text += self.draw(st.sampled_from(forms))

    def gap(self) -> None:
        self.text += self.draw(st.sampled_from(["", "", "\n", " \n\t\n", " # a, = ] \" '''\n"]))

    def end_line(self) -> None:
        self.text += self.draw(st.sampled_from(["\n", " # ] } ' \"\n", "\n\n\n"]))

    def note(self, place: Key) -> None:
        self.lines.setdefault(place, self.text.count("\n") + 1)

    def spelled(self, name: str) -> str:
        if name and set(name) <= set(string.ascii_letters + "_-"):
            return name
        return '"' + "".join(f"\\U{ord(char):08x}" for char in name) + '"'


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_lines_of_written_texts(data: st.DataObject) -> None:
    writer = Writer(data.draw)
    writer.document()
    document = tomllib.loads(writer.text)
    assert set(writer.lines) == set(places(document)), writer.text
    assert key_lines(writer.text) == writer.lines, writer.text


PIECES = st.sampled_from(
    ["a", "b", "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\n", " ", '"', "'", '"""', "'''",
     "#", "\\", "1", "a = 1\n", "[a]\n", "b.a = [", "x = {", "é", "\r", "\0"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
@settings(max_examples=400, deadline=None)
def test_what_the_parser_takes_is_told_in_full(text: str) -> None:
    found = key_lines(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(found) == set(places(document))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n" + "a." * 500_000 + "a = 1", 2),
        ("a = 1\n\nb = " + "[" * 100_000, 3),
        ("a = " + "{a = " * 100_000, 1),
        ("[" + "a." * MAX_DEPTH + "a]", 1),
        ("[" + ".".join("a" * MAX_DEPTH) + "]\n\na = 1", 3),
        ("a = [\n" + "1" * 5_000 + "]", 2),
    ],
    ids=["dotted", "arrays", "tables", "header", "key in a header", "number"],
)
def test_what_would_keep_the_parser_busy_is_refused(text: str, line: int) -> None:
    with pytest.raises(TooMuchError) as refused:
        key_lines(text)
    assert refused.value.line == line


def test_as_deep_as_allowed() -> None:
    text = ".".join("a" * MAX_DEPTH) + " = 1"
    assert len(max(key_lines(text), key=len)) == MAX_DEPTH
