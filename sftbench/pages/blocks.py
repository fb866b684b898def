"""What a page is made of: plain data; the templates decide how it looks.

Text is text everywhere: the templates escape it. Only `Plot.svg` is markup, and only
`sftbench.pages.plots` makes it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sftbench.pages.plots import Plot

Tone = Literal["", "success", "failure", "inconclusive", "baseline", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with what stands under it.

    Attributes:
        heading: Its text.
        blocks: What stands under it.
        id: Where links lead; see `sftbench.pages.page.anchor`. Sections with one stand in the
            page's contents, where they are not inside of another.
        lead: A paragraph under the heading.
    """

    kind: ClassVar[str] = "section"
    heading: str
    blocks: tuple[Block, ...] = ()
    id: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph; `is_quiet` for what explains."""

    kind: ClassVar[str] = "text"
    text: str
    is_quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of lines, each a text or a link."""

    kind: ClassVar[str] = "listing"
    lines: tuple[str | Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link to a place on the page: `#row-...`."""

    kind: ClassVar[str] = "link"
    text: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Links in one line."""

    kind: ClassVar[str] = "links"
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names and values, as a description list."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Few numbers that are seen first: (number, what it counts, tone)."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[tuple[str, str, Tone], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is shown when somebody asks for it; works without the script."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: tuple[Block, ...]
    id: str = ""
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot with its caption; its data is a click away."""

    kind: ClassVar[str] = "figure"
    plot: Plot
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures side by side where there is room."""

    kind: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A small picture with its caption; where it has none (a text), the text stands in its place.

    Attributes:
        png: The file; empty: none.
        width: In pixels.
        height: In pixels.
        alt: What it shows, in words.
        caption: Lines under it.
        text: In the picture's place.
    """

    png: bytes = b""
    width: int = 0
    height: int = 0
    alt: str = ""
    caption: tuple[str, ...] = ()
    text: str = ""

    @property
    def href(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Small pictures side by side."""

    kind: ClassVar[str] = "gallery"
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbatim:
    """Lines that stay as they are: of a traceback."""

    kind: ClassVar[str] = "verbatim"
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its text.
        is_number: Right-aligned, and sorted by `Cell.value`.
        lowest_first: The first click sorts numbers upwards; else the highest come first.
        explanation: Shown on hover, and read out.
        hidden_by: The key under which it says nothing new when the table is grouped by that key.
    """

    heading: str
    is_number: bool = False
    lowest_first: bool = False
    explanation: str = ""
    hidden_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One field of a table.

    Attributes:
        text: What is shown.
        value: What is sorted by in a column of numbers; None comes last in either direction.
        href: Makes the text a link.
        tone: Makes the text a badge.
        is_best: Marked as the best of its column.
        blocks: Evidence: the text becomes a button that opens it.
        note: A few words under the text, in small letters.
    """

    text: str
    value: float | None = None
    href: str = ""
    tone: Tone = ""
    is_best: bool = False
    blocks: tuple[Block, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: cells in the order of the columns, and a text for each of the table's keys."""

    cells: tuple[Cell, ...]
    keys: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTable:
    """A table to sort, filter and group; a plain one where it has no keys.

    Attributes:
        id: Unique on the page, letters, digits and hyphens; may be empty where there are neither
            keys nor numbers nor cards.
        caption: What it shows.
        columns: The first is the row's heading.
        rows: In the order in which they are first shown; those of one group stand together.
        keys: Names of what can be filtered and grouped by.
        grouped_by: One of `keys`, at first; empty: one group.
        is_stacked: On a phone each row is a card, as those of a table with keys always are.
    """

    kind: ClassVar[str] = "table"
    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    keys: tuple[str, ...] = ()
    grouped_by: str = ""
    is_stacked: bool = False

    @property
    def has_cards(self) -> bool:
        """Whether each row is a card on a phone; else the table scrolls sideways."""
        return self.is_stacked or bool(self.keys)

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """Rows by group, in their order; one group without a name where it is not grouped."""
        if not self.grouped_by:
            return [("", list(self.rows))]
        place = self.keys.index(self.grouped_by)
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.keys[place], []).append(row)
        return list(found.items())


Block = (
    Section
    | Text
    | Listing
    | Link
    | Links
    | Facts
    | Tiles
    | Details
    | Figure
    | Figures
    | Gallery
    | Verbatim
    | DataTable
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page.

    Attributes:
        title: Of the window and the first heading.
        lead: What it is, in a sentence or two.
        blocks: In order; `Section`s with an id make the contents.
        data: By name, what the page embeds as JSON for other programs; numbers must be finite.
        footer: Lines at the end: what made the page.
    """

    title: str
    lead: str = ""
    blocks: tuple[Block, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    footer: tuple[str, ...] = ()
