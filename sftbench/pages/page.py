"""Rendering: one HTML file, without network, with a policy that lets only our script run.

    from sftbench.pages.blocks import Page, Section, Text
    from sftbench.pages.page import render_page

    section = Section(heading="What failed", id="failed", blocks=(Text(text="Nothing."),))
    html = render_page(Page(title="digits", blocks=(section,)))

Every text may come from somebody else: the templates escape it, `printable` shows what would not
print, `embedded` keeps JSON from closing its element, and the page's Content-Security-Policy names
the hash of the one inline script.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sftbench.names import one_line
from sftbench.pages.blocks import Page, Section

_TEMPLATES = Path(__file__).parent / "templates"
_TEXT_CHARACTERS = 20_000
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,80}")
# As JSON these may stand in a string only, where an escape means the same.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render_page(page: Page) -> str:
    """Return the page as one HTML document that needs nothing else.

    Raises:
        ValueError: A number of `page.data` is not finite.
    """
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    text = (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            contents=[one for one in page.blocks if isinstance(one, Section) and one.id],
            style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - ours
            script=Markup(script),  # noqa: S704 - ours
            policy=_policy(script),
        )
    )
    return text if text.endswith("\n") else f"{text}\n"


def embedded(value: object) -> Markup:
    """Return JSON that may stand inside a script element: nothing in it can close that.

    Raises:
        ValueError: A number is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign, escape in _UNSAFE.items():
        text = text.replace(sign, escape)
    return Markup(text)  # noqa: S704 - no sign of it means anything to HTML


def anchor(kind: str, name: str) -> str:
    """Return an id for links: `strategy-full`; of a hash where the name is not plain.

    Args:
        kind: `row`, `strategy`, `section` ...
        name: May hold anything; equal names give equal ids.
    """
    if _PLAIN.fullmatch(name):
        return f"{kind}-{name}"
    return f"{kind}-x{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"


def printable(value: object) -> object:
    """Return a text as one line whose control characters are shown; markup and others as is."""
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return one_line(value, _TEXT_CHARACTERS)
    return value


def css_string(text: str) -> Markup:
    """Return `text` as a string of CSS, every sign that is no letter or digit as an escape."""
    signs = (
        char if char.isascii() and char.isalnum() else f"\\{ord(char):x} "
        for char in one_line(text, 100)
    )
    return Markup(f'"{"".join(signs)}"')  # noqa: S704 - only letters, digits and escapes are left


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(embedded=embedded, css_string=css_string)
    return environment


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
