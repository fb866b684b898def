from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftbench.pages.blocks import (
    Cell,
    Column,
    DataTable,
    Details,
    Facts,
    Link,
    Listing,
    Page,
    Row,
    Section,
    Text,
    Tiles,
)
from sftbench.pages.page import anchor, css_string, embedded, render_page

EVIL = (
    "</script></style></title><img src=x onerror=alert(1)>"
    "\"'`&amp;{{ 7*7 }}\x00\x1b[31m\u202e\ud800"
)


class Elements(HTMLParser):
    """Which elements and attributes a page really has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_of(text: str) -> Page:
    """A page with `text` wherever text may stand."""
    rows = (
        Row(
            id="row-1",
            keys=(text,),
            cells=(Cell(text=text), Cell(text=text, value=0.5, blocks=(Text(text=text),))),
        ),
    )
    columns = (Column(heading=text, explanation=text), Column(heading=text, is_number=True))
    table = DataTable(
        id="rows", caption=text, columns=columns, rows=rows, keys=("key",), grouped_by="key"
    )
    inner = (
        table,
        Facts(pairs=((text, text),)),
        Listing(lines=(text, Link(text=text, href="#row-1"))),
        Details(summary=text, blocks=(Text(text=text, is_quiet=True),)),
        Tiles(tiles=((text, text, "failure"),)),
    )
    section = Section(heading=text, id="one", lead=text, blocks=inner)
    return Page(
        title=text, lead=text, blocks=(section,), data={"rows": [{text: text}]}, footer=(text,)
    )


def test_hostile_text_adds_no_element_and_no_attribute() -> None:
    plain, evil = Elements(render_page(page_of("x"))), Elements(render_page(page_of(EVIL)))
    assert [tag for tag, _ in evil.found] == [tag for tag, _ in plain.found]
    assert [set(each) for _, each in evil.found] == [set(each) for _, each in plain.found]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_stand_on_a_page_and_in_its_data(text: str) -> None:
    html = render_page(page_of(text))
    html.encode()
    (data,) = re.findall(r'<script type="application/json" id="data-rows">(.*?)</script>', html)
    assert json.loads(data) == [{text: text}]


def test_the_policy_names_the_one_script() -> None:
    html = render_page(page_of("x"))
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (
        each["content"] for _, each in Elements(html).found if each.get("http-equiv") is not None
    )
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    # Nothing that it forbids is there: handlers, sources, sheets of others.
    for tag, each in Elements(html).found:
        assert not [name for name in each if name.startswith("on") or name == "src"], tag
        assert tag not in ("link", "iframe", "object", "base")


def test_a_number_that_is_not_finite_is_no_data() -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        render_page(Page(title="x", data={"rows": [float("nan")]}))


def test_embedded_json_holds_no_sign_of_html() -> None:
    text = embedded({"</script>": "<!--&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"</script>": "<!--&"}


def test_anchors_are_plain_and_the_same_for_the_same_name() -> None:
    assert anchor("strategy", "lp-ft") == "strategy-lp-ft"
    for odd in ("a b", "", "<b>", "\ud800", "x" * 81, "full (rate=0.1)"):
        assert re.fullmatch(r"strategy-x[0-9a-f]{16}", anchor("strategy", odd))
        assert anchor("strategy", odd) == anchor("strategy", odd)
    assert anchor("strategy", "a b") != anchor("strategy", "a c")


def test_css_strings_end_where_they_should() -> None:
    assert css_string('Δ "p"\\</style>') == ('"\\394 \\20 \\22 p\\22 \\5c \\3c \\2f style\\3e "')


@pytest.mark.parametrize(("is_stacked", "has_cards"), [(True, True), (False, False)])
def test_a_table_without_tools_has_cards_where_it_says_so(
    is_stacked: bool, has_cards: bool
) -> None:
    columns = (Column(heading="name"), Column(heading="mean rank"))
    rows = (Row(cells=(Cell(text="full"), Cell(text="1.5"))),)
    table = DataTable(id="t", caption="c", columns=columns, rows=rows, is_stacked=is_stacked)
    html = render_page(Page(title="x", blocks=(table,)))
    found = [each for tag, each in Elements(html).found if tag in ("table", "form")]
    assert found == [{"id": "t"} | ({"class": "cards"} if has_cards else {})]
    assert (str(css_string("mean rank")) in html) == has_cards


def test_rows_stand_in_their_groups_in_order() -> None:
    rows = tuple(Row(cells=(Cell(text=name),), keys=(name[0],)) for name in ("b1", "a1", "b2"))
    table = DataTable(
        id="t", caption="c", columns=(Column(heading="n"),), rows=rows, keys=("k",), grouped_by="k"
    )
    found = [(name, [row.cells[0].text for row in each]) for name, each in table.groups]
    assert found == [("b", ["b1", "b2"]), ("a", ["a1"])]
